//! Items of the cluster's own, on their way to the leader's log.

use std::time::Duration;

use bytes::Bytes;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::super::RaftNode;
use super::MAX_RAFT_MESSAGE_BYTES;
use super::peers::Lane;
use crate::entry::Item;
use crate::error::Error;
use crate::machine::{BRAFT, Digests, SETTINGS_CHANGE};
use crate::wire::v1 as pb;
use crate::wire::v1::propose_request::Item as Asked;
use crate::wire::v1::raft_client::RaftClient;

/// Parts in one report: services, and a few of the cluster's own.
const MAX_PARTS: usize = 1024;
/// The longest the leader may take to put an item into the log.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a change of settings waits for the version it needs: a cluster that has just begun agrees
/// on one in a moment.
const VERSION_TIMEOUT: Duration = Duration::from_secs(3);

/// What a node asks for, as it stands in the log.
fn item(node_id: u64, asked: Option<Asked>) -> Result<Item, Status> {
    match asked {
        None => Err(Status::invalid_argument(
            "an item this version does not know; upgrade this node",
        )),
        Some(Asked::DigestMark(pb::DigestMark {})) => Ok(Item::DigestMark),
        Some(Asked::DigestReport(report)) => {
            if report.parts.len() > MAX_PARTS {
                return Err(Status::invalid_argument(format!(
                    "a report has at most {MAX_PARTS} parts, got {}",
                    report.parts.len()
                )));
            }
            let digests = report.parts.into_iter();
            let digests = digests.map(|part| (Bytes::from(part.part), part.digest));
            Ok(Item::DigestReport {
                node_id,
                mark: report.mark,
                digests: digests.collect(),
            })
        }
        Some(Asked::ClearPanics(clear)) => Ok(Item::ClearPanics {
            service: clear.service.into(),
            method: clear.method.into(),
        }),
        Some(Asked::ChangeSettings(change)) => Ok(Item::ChangeSettings {
            changes: change.changes.into(),
        }),
    }
}

/// Puts what a node asks for into the log of this one, which leads.
pub(super) async fn propose(node: &RaftNode, request: pb::ProposeRequest) -> Result<(), Status> {
    if !node.is_leader() {
        return Err(Status::failed_precondition("this node does not lead"));
    }
    let from = request.envelope.map_or(0, |envelope| envelope.from);
    if let Some(Asked::ChangeSettings(change)) = &request.item {
        node.check_change(change.changes.as_bytes())
            .await
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
    }
    let proposed = node.propose_own(item(from, request.item)?).await;
    proposed.map_err(|error| Status::unavailable(error.to_string()))
}

impl RaftNode {
    pub(super) async fn rpc(&self, node: u64, lane: Lane) -> Result<RaftClient<Channel>, Error> {
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

    /// Has what this replica found at a mark put into the log.
    pub(crate) async fn report_digests(&self, mark: u64, digests: &Digests) -> Result<(), Error> {
        let parts = digests.iter().map(|(part, digest)| pb::PartDigest {
            part: part.clone(),
            digest: *digest,
        });
        let parts = parts.collect();
        self.ask_leader(Asked::DigestReport(pb::DigestReport { mark, parts }))
            .await
    }

    /// Has all replicas compared.
    pub(crate) async fn ask_for_mark(&self) -> Result<(), Error> {
        self.ask_leader(Asked::DigestMark(pb::DigestMark {})).await
    }

    /// Has a method carried out again that had panicked too often.
    pub(crate) async fn clear_panics(&self, service: &str, method: &str) -> Result<(), Error> {
        let (service, method) = (service.to_owned(), method.to_owned());
        self.ask_leader(Asked::ClearPanics(pb::ClearPanics { service, method }))
            .await
    }

    /// Changes settings of the cluster: a JSON object with their names and new values.
    pub(crate) async fn change_settings(&self, changes: String) -> Result<(), Error> {
        if self.is_leader() {
            self.check_change(changes.as_bytes()).await?;
        }
        self.ask_leader(Asked::ChangeSettings(pb::ChangeSettings { changes }))
            .await
    }

    /// Whether this leader may put a change of settings into the log.
    async fn check_change(&self, changes: &[u8]) -> Result<(), Error> {
        let mut applied = self.watch_applied();
        let known =
            applied.wait_for(|_| self.machine().active_versions().of(BRAFT) >= SETTINGS_CHANGE);
        // What has not come about by then is refused below.
        let _ = tokio::time::timeout(VERSION_TIMEOUT, known).await;
        let replica = self.machine().read();
        let active = self.machine().active_versions().of(BRAFT);
        if active < SETTINGS_CHANGE {
            return Err(Error::rejected(format!(
                "settings can be changed once every node runs a braft that knows version \
                 {SETTINGS_CHANGE} of the log, and version {active} is active; upgrade the others"
            )));
        }
        if !replica.seeded() {
            return Err(Error::unavailable("the cluster has no settings yet"));
        }
        let changed = replica.settings().changed(changes);
        changed
            .and_then(|settings| settings.check())
            .map_err(Error::rejected)
    }

    async fn ask_leader(&self, asked: Asked) -> Result<(), Error> {
        if self.is_leader() {
            let item = item(self.id(), Some(asked)).map_err(unavailable)?;
            return self.propose_own(item).await;
        }
        let leader = self.view().leader;
        let leader = leader.ok_or_else(|| Error::unavailable("no leader is known"))?;
        let request = pb::ProposeRequest {
            envelope: Some(self.peers().envelope(leader)),
            item: Some(asked),
        };
        let mut rpc = self.rpc(leader, Lane::Heartbeat).await?;
        match tokio::time::timeout(PROPOSE_TIMEOUT, rpc.propose(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                Err(Error::rejected(status.message().to_owned()))
            }
            Ok(Err(status)) => Err(unavailable(status)),
            Err(_) => Err(Error::unavailable("the leader did not answer in time")),
        }
    }
}

pub(super) fn unavailable(status: Status) -> Error {
    Error::unavailable(status.message().to_owned())
}
