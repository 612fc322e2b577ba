//! Reaching a peer: dialing, and the caller's side of the handshake.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use super::handshake::{Introduction, OLDEST_PROTOCOL, PROTOCOL, common_protocol};
use super::peers::{Lane, Line, MAX_KNOWN, Peers, Timers, Trouble, locked};
use crate::member::display_id;
use crate::net::Dialer;
use crate::wire::convert::{cluster_id_from, cluster_id_to};
use crate::wire::v1 as pb;

/// The longest a connection attempt, handshake included, may take.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_millis(500);
/// Idle and stuck connections are found out after this long.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Flow-control windows: room for a few large appends under way.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A peer could not be reached under its id.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("no address is known for node {}", display_id(*.0))]
    NoAddress(u64),
    #[error("{address} is not a valid address")]
    BadAddress { address: String },
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: String, reason: String },
    #[error("{address} refused the handshake: {reason}")]
    Refused { address: String, reason: String },
    #[error("{address} is now node {}, not {}", display_id(*.found), display_id(*.wanted))]
    OtherNode {
        address: String,
        found: u64,
        wanted: u64,
    },
    #[error("{address} belongs to another cluster")]
    OtherCluster { address: String },
    #[error(
        "{address} may vote for another leader {theirs_ms} ms after it heard from one, and a \
         leader here counts on {ours_ms} ms; give all members the same BRAFT_ELECTION_MAX_MS"
    )]
    VotesTooSoon {
        address: String,
        theirs_ms: u32,
        ours_ms: u32,
    },
}

impl Peers {
    /// Asks whoever answers at an address who it is.
    pub(crate) async fn probe(&self, address: &str) -> Option<pb::HandshakeResponse> {
        let connected = self.connect(address, &self.dialer).await;
        connected.ok().map(|(_, answer)| answer)
    }

    async fn connect(
        &self,
        address: &str,
        dialer: &Dialer,
    ) -> Result<(Channel, pb::HandshakeResponse), DialError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| DialError::BadAddress {
                address: address.to_owned(),
            })?
            .tcp_nodelay(true)
            .connect_timeout(DIAL_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let connecting = async {
            let channel = dialer
                .connect(&endpoint)
                .await
                .map_err(|error| DialError::Connect {
                    address: address.to_owned(),
                    reason: error_chain(&error),
                })?;
            let mut client = pb::cluster_client::ClusterClient::new(channel.clone());
            let answer = client.handshake(self.request()).await.map_err(|status| {
                if matches!(
                    status.code(),
                    tonic::Code::AlreadyExists | tonic::Code::DataLoss
                ) {
                    self.unfit.send_replace(Some(status.message().to_owned()));
                }
                if is_no_entry(status.code()) {
                    // Without the address: all members say the same.
                    let text = format!("the members refuse this node: {}", status.message());
                    self.complain(self.me.node_id, &text);
                }
                DialError::Refused {
                    address: address.to_owned(),
                    reason: status.message().to_owned(),
                }
            })?;
            let answer = answer.into_inner();
            let theirs = (answer.oldest_protocol, answer.protocol);
            common_protocol((OLDEST_PROTOCOL, PROTOCOL), theirs, &answer.version).map_err(
                |reason| DialError::Refused {
                    address: address.to_owned(),
                    reason,
                },
            )?;
            Ok((channel, answer))
        };
        match tokio::time::timeout(DIAL_TIMEOUT, connecting).await {
            Ok(result) => result,
            Err(_) => Err(DialError::Connect {
                address: address.to_owned(),
                reason: format!("no answer within {} ms", DIAL_TIMEOUT.as_millis()),
            }),
        }
    }

    pub(super) fn request(&self) -> pb::HandshakeRequest {
        pb::HandshakeRequest {
            cluster_id: self.cluster_id().map(cluster_id_to).unwrap_or_default(),
            cluster_name: self.me.cluster_name.clone(),
            node_id: self.me.node_id,
            incarnation: self.me.incarnation,
            address: self.me.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            about: Some(self.own_about()),
            progress: self.own_progress(),
            starts: self.me.starts,
            oldest_protocol: OLDEST_PROTOCOL,
        }
    }

    /// A connection to the member `node_id`, shaken hands with.
    pub(crate) async fn dial(
        &self,
        node_id: u64,
        committed: &str,
        lane: Lane,
    ) -> Result<Line, DialError> {
        if let Some(line) = locked(&self.channels).get(&(node_id, lane)) {
            return Ok(line.clone());
        }
        let mut addresses: Vec<String> = self.address_of(node_id).into_iter().collect();
        let claimed = self.about(node_id).map(|(info, _)| info.address);
        for address in claimed.into_iter().chain([committed.to_owned()]) {
            if !address.is_empty() && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let mut failure = DialError::NoAddress(node_id);
        for address in addresses {
            match self.dial_at(node_id, &address).await {
                Ok(line) => {
                    locked(&self.troubles).remove(&node_id);
                    locked(&self.channels).insert((node_id, lane), line.clone());
                    return Ok(line);
                }
                Err(error) => failure = error,
            }
        }
        self.report(node_id, &failure);
        Err(failure)
    }

    /// Shakes hands with whoever answers at an address, and remembers it if it belongs to this
    /// cluster. Gives the addresses at which that node has met others.
    pub(crate) async fn greet(&self, address: &str) -> Result<Vec<String>, DialError> {
        let (_, answer) = self.connect(address, &self.dialer).await?;
        let theirs = cluster_id_from(&answer.cluster_id).ok();
        if theirs.is_none() || theirs != self.cluster_id() || answer.node_id == self.me.node_id {
            return Ok(Vec::new());
        }
        self.met(&answer, address).await?;
        Ok(answer.knows)
    }

    async fn met(&self, answer: &pb::HandshakeResponse, address: &str) -> Result<(), DialError> {
        self.meet(Introduction::of_answer(answer), address)
            .await
            .map_err(|status| DialError::Refused {
                address: address.to_owned(),
                reason: status.message().to_owned(),
            })
    }

    async fn dial_at(&self, node_id: u64, address: &str) -> Result<Line, DialError> {
        let address = || address.to_owned();
        let traffic = self.figures().of(node_id).traffic.clone();
        let dialer = self.dialer.counted(traffic);
        let (channel, answer) = self.connect(&address(), &dialer).await?;
        if answer.node_id != node_id {
            // Another member that has moved here, perhaps: its id is known by its address now.
            if cluster_id_from(&answer.cluster_id).ok() == self.cluster_id() {
                self.met(&answer, &address()).await?;
            }
            let (found, wanted) = (answer.node_id, node_id);
            return Err(DialError::OtherNode {
                address: address(),
                found,
                wanted,
            });
        }
        // A member that has just been taken in does not know its cluster yet.
        let theirs = cluster_id_from(&answer.cluster_id).ok();
        if theirs.is_some() && theirs != self.cluster_id() {
            return Err(DialError::OtherCluster { address: address() });
        }
        self.met(&answer, &address()).await?;
        self.compare_timers(&answer)?;
        Ok(Line {
            channel,
            incarnation: answer.incarnation,
        })
    }

    /// Refuses a voter whose promise is shorter than what a leader on this node counts on.
    ///
    /// Who hears from a leader votes for no other for its own longest election timeout, and a
    /// leader takes its lease to last for its own. So a leader may only lead those whose time is as
    /// long as its own, or longer. The node with the shortest time can always lead all others: a
    /// change of the timers, one node after the other, leaves the cluster a leader.
    fn compare_timers(&self, peer: &pb::HandshakeResponse) -> Result<(), DialError> {
        let theirs = Timers {
            heartbeat_ms: peer.heartbeat_ms,
            election_min_ms: peer.election_min_ms,
            election_max_ms: peer.election_max_ms,
        };
        let ours = self.me.timers;
        if theirs.election_max_ms < ours.election_max_ms {
            return Err(DialError::VotesTooSoon {
                address: peer.address.clone(),
                theirs_ms: theirs.election_max_ms,
                ours_ms: ours.election_max_ms,
            });
        }
        if theirs != ours {
            tracing::warn!(
                ?ours,
                ?theirs,
                "the node at {} has other timers; give all members the same BRAFT_HEARTBEAT_MS, \
                 BRAFT_ELECTION_MIN_MS and BRAFT_ELECTION_MAX_MS",
                peer.address
            );
        }
        Ok(())
    }

    /// Says that a peer cannot be reached, in the log only when the reason is a new one: a peer is
    /// dialed many times a second.
    fn report(&self, node_id: u64, failure: &DialError) {
        let text = failure.to_string();
        let mut troubles = locked(&self.troubles);
        if troubles.len() >= MAX_KNOWN {
            troubles.clear();
        }
        let trouble = Trouble {
            text: text.clone(),
            by_choice: matches!(failure, DialError::VotesTooSoon { .. }),
        };
        let before = troubles.insert(node_id, trouble.clone());
        drop(troubles);
        if before.as_ref() == Some(&trouble) {
            return;
        }
        let node = display_id(node_id);
        if trouble.by_choice {
            tracing::error!(node, "not spoken to: {text}");
        } else {
            tracing::debug!(node, "cannot be reached: {text}");
        }
    }

    /// Forgets a connection that failed: the next call dials again.
    pub(crate) fn hang_up(&self, node_id: u64, lane: Lane) {
        locked(&self.channels).remove(&(node_id, lane));
    }
}

/// Whether a node is not let in for what it has not shown: a certificate, or the join token.
pub(crate) fn is_no_entry(code: tonic::Code) -> bool {
    matches!(
        code,
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied
    )
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
