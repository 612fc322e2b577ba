//! What replicas found at a mark, on its way to the leader; and the snapshot that a replica which has
//! diverged is made anew from.

use std::time::Duration;

use bytes::Bytes;
use tonic::Status;
use tonic::transport::Channel;

use super::super::RaftNode;
use super::MAX_RAFT_MESSAGE_BYTES;
use super::peers::Lane;
use crate::entry::Item;
use crate::error::Error;
use crate::machine::Digests;
use crate::storage::snapshot::SnapshotFile;
use crate::wire::v1 as pb;
use crate::wire::v1::raft_client::RaftClient;

/// Parts in one report: services, and a few of the cluster's own.
const MAX_PARTS: usize = 1024;
/// The longest the leader may take to put a report into the log.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest a snapshot that was asked for may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest one may take to come in.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3600);
/// How often it is looked whether a snapshot has been written.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The item for the log that a node asks the leader for.
pub(super) fn report_item(
    node_id: u64,
    mark: u64,
    parts: Vec<pb::PartDigest>,
) -> Result<Item, Status> {
    if mark == 0 {
        return Ok(Item::DigestMark);
    }
    if parts.len() > MAX_PARTS {
        let text = format!(
            "a report has at most {MAX_PARTS} parts, got {}",
            parts.len()
        );
        return Err(Status::invalid_argument(text));
    }
    let digests = parts.into_iter();
    let digests = digests.map(|part| (Bytes::from(part.part), part.digest));
    Ok(Item::DigestReport {
        node_id,
        mark,
        digests: digests.collect(),
    })
}

/// A snapshot of this node that holds at least this log index.
pub(super) async fn snapshot_for(node: &RaftNode, min_index: u64) -> Result<SnapshotFile, Status> {
    let written = async {
        let mut applied = node.watch_applied();
        let reached = applied.wait_for(|applied| *applied >= min_index).await;
        drop(reached.map_err(|_| Status::unavailable("this node is stopping"))?);
        loop {
            if let Some(refusal) = node.out_of_service() {
                return Err(Status::failed_precondition(refusal.message));
            }
            let current = node.state_machine().snapshots().current();
            if let Some(file) = current.filter(|file| file.last.index >= min_index) {
                return Ok(file);
            }
            let asked = node.snapshot().await;
            asked.map_err(|error| Status::unavailable(error.to_string()))?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let in_time = tokio::time::timeout(WRITE_TIMEOUT, written).await;
    in_time.unwrap_or_else(|_| Err(Status::deadline_exceeded("no snapshot was written in time")))
}

impl RaftNode {
    async fn rpc(&self, node: u64, lane: Lane) -> Result<RaftClient<Channel>, Error> {
        let members = self.view().members.members;
        let address = members.nodes.get(&node).map(|info| info.address.clone());
        let dialed = self
            .peers()
            .dial(node, &address.unwrap_or_default(), lane)
            .await;
        let line = dialed.map_err(|error| Error::unavailable(error.to_string()))?;
        Ok(RaftClient::new(line.channel)
            .max_decoding_message_size(MAX_RAFT_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_RAFT_MESSAGE_BYTES))
    }

    /// Has the leader put into the log what this replica found at a mark.
    pub(crate) async fn report_digests(&self, mark: u64, digests: &Digests) -> Result<(), Error> {
        let parts = digests.iter().map(|(part, digest)| pb::PartDigest {
            part: part.clone(),
            digest: *digest,
        });
        self.ask_leader(mark, parts.collect()).await
    }

    /// Has the leader begin a comparison of all replicas.
    pub(crate) async fn ask_for_mark(&self) -> Result<(), Error> {
        self.ask_leader(0, Vec::new()).await
    }

    async fn ask_leader(&self, mark: u64, parts: Vec<pb::PartDigest>) -> Result<(), Error> {
        if self.is_leader() {
            let item = report_item(self.id(), mark, parts).map_err(unavailable)?;
            return self.propose_own(item).await;
        }
        let leader = self.view().leader;
        let leader = leader.ok_or_else(|| Error::unavailable("no leader is known"))?;
        let report = pb::DigestReport {
            envelope: Some(self.peers().envelope(leader)),
            mark,
            parts,
        };
        let mut rpc = self.rpc(leader, Lane::Heartbeat).await?;
        let reported = tokio::time::timeout(REPORT_TIMEOUT, rpc.report_digests(report)).await;
        match reported {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => {
                self.peers().hang_up(leader, Lane::Heartbeat);
                Err(unavailable(status))
            }
            Err(_) => Err(Error::unavailable(
                "the leader did not take the report in time",
            )),
        }
    }

    /// Makes the state of this replica anew from a snapshot of another node that holds at least this
    /// log index.
    pub(crate) async fn start_over_from(&self, source: u64, min_index: u64) -> Result<(), Error> {
        let machine = self.state_machine();
        let _one_at_a_time = machine.receiving().await;
        machine.await_writing();
        // It has to take the place of this node's own snapshot, which is no better than its state.
        let own = machine
            .snapshots()
            .current()
            .map_or(0, |file| file.last.index);
        let fetching = self.fetch(source, min_index.max(own));
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetching).await;
        let fetched =
            fetched.unwrap_or_else(|_| Err(Status::deadline_exceeded("it did not come in time")));
        if let Err(status) = fetched {
            self.peers().hang_up(source, Lane::Snapshot);
            return Err(unavailable(status));
        }
        machine
            .start_over()
            .map_err(|error| Error::fatal("the state was not made anew").with_source(error))
    }

    async fn fetch(&self, source: u64, min_index: u64) -> Result<(), Status> {
        let internal = |error: &dyn std::error::Error| Status::internal(error.to_string());
        let mut rpc = self
            .rpc(source, Lane::Snapshot)
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let request = pb::SnapshotRequest {
            envelope: Some(self.peers().envelope(source)),
            min_index,
        };
        let mut chunks = rpc.fetch_snapshot(request).await?.into_inner();
        let ended = || Status::invalid_argument("a snapshot without an offer");
        let mut chunk = chunks.message().await?.ok_or_else(ended)?;
        let offer = chunk.offer.take().ok_or_else(ended)?;
        let store = self.state_machine().snapshots();
        let mut receiver = store
            .receive(&offer.file_id, offer.total_bytes)
            .map_err(|error| internal(&error))?;
        loop {
            // A part of the file may be there from an earlier attempt.
            let have = receiver.offset();
            let known = usize::try_from(have.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
            if known < chunk.data.len() {
                receiver
                    .write(chunk.offset.max(have), &chunk.data[known..])
                    .map_err(|error| internal(&error))?;
            }
            match chunks.message().await? {
                Some(next) => chunk = next,
                None => break,
            }
        }
        let file = receiver.finish().map_err(|error| internal(&error))?;
        if file.last.index < min_index {
            return Err(Status::internal("it is older than what was asked for"));
        }
        Ok(())
    }
}

fn unavailable(status: Status) -> Error {
    Error::unavailable(status.message().to_owned())
}
