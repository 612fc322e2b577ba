//! What operators ask of a node.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::Core;
use crate::access::{CALLER, caller};
use crate::cluster::membership::MAX_MEMBERS;
use crate::error::Error;
use crate::member::display_id;
use crate::raft::RaftNode;
use crate::settings::Settings;
use crate::storage::snapshot::SnapshotFile;
use crate::wire::admin::InviteRequest;
use crate::wire::admin::admin_client::AdminClient;
use crate::wire::convert::cluster_id_from;

/// The longest a node may take to carry out what was committed when it was asked.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a snapshot is asked for again: raft forgets a wish while it is busy with another one.
const SNAPSHOT_AGAIN: Duration = Duration::from_millis(200);
/// The longest another node may take until it is connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest an invited node may take until the leader counts it in.
const INVITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Another node's service for operators, as this node asks it.
pub(crate) type AdminOf = AdminClient<InterceptedService<Channel, Says>>;

/// Says which node calls.
#[derive(Clone, Debug)]
pub(crate) struct Says(Option<MetadataValue<Ascii>>);

impl Interceptor for Says {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(caller) = &self.0 {
            request.metadata_mut().insert(CALLER, caller.clone());
        }
        Ok(request)
    }
}

impl Core {
    fn raft_or_why(&self) -> Result<&RaftNode, Error> {
        self.raft().ok_or_else(|| {
            let report = self.formed.get().map(|formed| formed.report());
            let report = report.filter(|report| !report.is_empty());
            let why = report.unwrap_or_else(|| "it is starting".to_owned());
            Error::unavailable(format!("this node is in no cluster yet: {why}"))
        })
    }

    /// Waits until this node has carried out whatever was committed before the call.
    async fn caught_up(&self) -> Result<&RaftNode, Error> {
        let raft = self.raft_or_why()?;
        let fresh = self.fresh.get().expect("set before raft is");
        let index = fresh.index(Instant::now()).await;
        let index = index.map_err(|reason| {
            Error::unavailable(format!(
                "no leader says up to where the log reaches: {reason}"
            ))
        })?;
        let mut applied = raft.watch_applied();
        let reached = timeout(
            CATCH_UP_TIMEOUT,
            applied.wait_for(|applied| *applied >= index),
        );
        if !matches!(reached.await, Ok(Ok(_))) {
            return Err(Error::unavailable(format!(
                "this node has not come to log index {index} within {CATCH_UP_TIMEOUT:?}; ask \
                 another one"
            )));
        }
        if let Some(refusal) = raft.out_of_service() {
            return Err(refusal.into());
        }
        Ok(raft)
    }

    /// The settings of the cluster as of now.
    pub(crate) async fn settings(&self) -> Result<Settings, Error> {
        let raft = self.caught_up().await?;
        Ok(raft.machine().read().settings().clone())
    }

    /// A snapshot that holds whatever was acknowledged before the call, written now unless there is
    /// one. Takes as long as it takes to write.
    pub(crate) async fn snapshot_of_now(&self) -> Result<SnapshotFile, Error> {
        let raft = self.caught_up().await?;
        let wanted = raft.applied_index();
        loop {
            if let Some(file) = raft
                .newest_snapshot()
                .filter(|file| file.last.index >= wanted)
            {
                return Ok(file);
            }
            raft.snapshot().await?;
            let written =
                raft.wait_for(|view| view.snapshot.is_some_and(|(_, index)| index >= wanted));
            if let Ok(None) = timeout(SNAPSHOT_AGAIN, written).await {
                return Err(Error::unavailable("this node is stopping"));
            }
            if let Some(refusal) = raft.out_of_service() {
                return Err(refusal.into());
            }
        }
    }

    /// On the leader: invites the node at an address, and waits until it is a member. Gives its id.
    pub(crate) async fn add(&self, address: &str) -> Result<u64, Error> {
        let raft = self.raft_or_why()?;
        let answer = self.peers.probe(address).await.ok_or_else(|| {
            Error::unavailable(format!(
                "nobody answers the leader at {address}; start the node, or open the firewall"
            ))
        })?;
        let id = answer.node_id;
        let name = self.cluster_name();
        if answer.cluster_name != name {
            return Err(Error::rejected(format!(
                "the node at {address} wants a cluster named {:?}, this one is named {name:?}; set \
                 BRAFT_CLUSTER there",
                answer.cluster_name
            )));
        }
        let ours = self.peers.cluster_id();
        match cluster_id_from(&answer.cluster_id).ok() {
            Some(theirs) if Some(theirs) != ours => {
                return Err(Error::rejected(format!(
                    "the node at {address} belongs to cluster {theirs:032x}, and clusters never \
                     merge; give it an empty data directory"
                )));
            }
            _ => {}
        }
        let members = raft.view().members.members.nodes;
        if members.contains_key(&id) {
            return Ok(id);
        }
        if members.len() >= MAX_MEMBERS {
            let text = format!("there are {MAX_MEMBERS} members already; remove some first");
            return Err(Error::rejected(text));
        }
        self.send_invitation(address).await?;
        let taken_in = raft.wait_for(|view| view.members.members.nodes.contains_key(&id));
        match timeout(INVITE_TIMEOUT, taken_in).await {
            Ok(Some(_)) => Ok(id),
            Ok(None) | Err(_) => {
                let outlook = self.outlook().map(|outlook| outlook.borrow().clone());
                let reason = outlook.and_then(|report| report.reasons.get(&id).cloned());
                let reason = reason.unwrap_or_else(|| {
                    "it has not asked; its status says what it waits for".to_owned()
                });
                Err(Error::unavailable(format!(
                    "node {} at {address} was invited and is not a member yet: {reason}",
                    display_id(id)
                )))
            }
        }
    }

    /// The service for operators at another node.
    pub(crate) async fn admin_of(&self, address: &str) -> Result<AdminOf, Error> {
        let failed = |reason: String| Error::unavailable(format!("{address}: {reason}"));
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| failed(error.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT);
        let channel = self.peers.dialer().connect(&endpoint).await;
        let channel = channel.map_err(|error| failed(error.to_string()))?;
        let me = self.peers.me();
        let says = caller(&format!("node {} ({})", me.name, display_id(me.node_id)));
        Ok(AdminClient::with_interceptor(channel, Says(says)))
    }

    async fn send_invitation(&self, address: &str) -> Result<(), Error> {
        let mut node = self.admin_of(address).await?;
        let invitation = InviteRequest {
            member: self.peers.me().address.clone(),
            cluster_name: self.cluster_name().to_owned(),
        };
        match timeout(INVITE_TIMEOUT, node.invite(invitation)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(Error::rejected(format!(
                "the node at {address} was not invited: {}",
                status.message()
            ))),
            Err(_) => Err(Error::unavailable(format!(
                "the node at {address} has not taken the invitation within {INVITE_TIMEOUT:?}"
            ))),
        }
    }

    /// Changes settings of the cluster: a JSON object with their names and new values.
    pub(crate) async fn change_settings(&self, changes: String) -> Result<(), Error> {
        self.raft_or_why()?.change_settings(changes).await
    }

    /// See [`Node::clear_panics`](super::Node::clear_panics).
    pub(crate) async fn clear_panics(&self, service: &str, method: &str) -> Result<(), Error> {
        let raft = self.raft_or_why()?;
        if !raft.machine().has_command(service, method) {
            return Err(Error::rejected(format!(
                "there is no command {service}.{method} on this node"
            )));
        }
        raft.clear_panics(service, method).await
    }

    /// Takes note of a cluster that wants this node.
    pub(crate) fn invited(&self, member: &str, cluster_name: &str) -> Result<(), Error> {
        let name = self.cluster_name();
        if cluster_name != name {
            return Err(Error::rejected(format!(
                "this node wants a cluster named {name:?}, it was invited to {cluster_name:?}"
            )));
        }
        if self.raft().is_some() {
            return Err(Error::rejected("this node is in a cluster already"));
        }
        let member = member
            .parse()
            .map_err(|error| Error::rejected(format!("{member} is no address: {error}")))?;
        let formed = self.formed.get();
        let formed = formed.ok_or_else(|| Error::unavailable("this node is starting"))?;
        formed.invite(member);
        Ok(())
    }
}
