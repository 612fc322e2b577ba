//! The snapshot that a replica which has diverged is made anew from.

use std::time::Duration;

use tonic::Status;

use super::super::RaftNode;
use super::items::unavailable;
use super::peers::Lane;
use crate::error::Error;
use crate::storage::snapshot::SnapshotFile;
use crate::wire::v1 as pb;
use crate::world;

/// The longest a snapshot that was asked for may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest one may take to come in.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3600);
/// How often it is looked whether a snapshot has been written.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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
        let receiver = world::blocking_here(|| store.receive(&offer.file_id, offer.total_bytes));
        let mut receiver = receiver.map_err(|error| internal(&error))?;
        loop {
            // A part of the file may be there from an earlier attempt.
            let have = receiver.offset();
            let known = usize::try_from(have.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
            if known < chunk.data.len() {
                let (offset, new) = (chunk.offset.max(have), &chunk.data[known..]);
                let written = world::blocking_here(|| receiver.write(offset, new));
                written.map_err(|error| internal(&error))?;
            }
            match chunks.message().await? {
                Some(next) => chunk = next,
                None => break,
            }
        }
        let finished = world::blocking_here(|| receiver.finish());
        let file = finished.map_err(|error| internal(&error))?;
        if file.last.index < min_index {
            return Err(Status::internal("it is older than what was asked for"));
        }
        Ok(())
    }
}
