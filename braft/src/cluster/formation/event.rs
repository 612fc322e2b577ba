//! What goes into [`Formation`](super::Formation) and what comes out.

use std::time::Duration;

use super::{MemberSet, Message, PromiseRecord};
use crate::discovery::{PeerAddress, PeerSet};

/// Something the driver tells the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time has passed; feed it every [`Timing::tick`], and once at the start.
    Tick,
    /// Discovery yielded a set. Replaces the one before it.
    Discovered(PeerSet),
    /// A message arrived, as a request or as the response to one.
    Received(Box<Message>),
    /// Raft traffic of this cluster arrived at a node that has no cluster id on disk.
    ///
    /// [`Action::Follow`] among the actions means that it is to be let in; without one it is
    /// refused.
    Contacted(u128),
    /// The cluster id is on disk. `initialized`: raft's log or membership is not empty.
    Started {
        /// The id on disk.
        cluster_id: u128,
        /// Whether raft has any state.
        initialized: bool,
    },
}

/// Something the driver has to do, in the order given.
///
/// An action may be carried out only when every [`Action::Persist`] before it is durable. When one
/// fails, the rest is dropped and the node stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Write and sync the record.
    Persist(PromiseRecord),
    /// Send a message; it may be lost.
    Send {
        /// Where to.
        to: PeerAddress,
        /// What.
        message: Message,
    },
    /// Answer the message that was just received; it may be lost.
    Reply(Message),
    /// Make the cluster: write the cluster id, start raft, initialize it with exactly these
    /// members unless its log is not empty, then report [`Event::Started`] with `initialized`.
    ///
    /// May come again after a restart; doing it twice, or on several nodes, is safe.
    Initialize {
        /// The id to write.
        cluster_id: u128,
        /// The initial voters.
        members: MemberSet,
    },
    /// Write the cluster id, start raft without initializing it, then report [`Event::Started`].
    Follow {
        /// The id to write.
        cluster_id: u128,
    },
    /// Ask this member, or whoever leads its cluster, to take this node in as a learner.
    ///
    /// Comes again until the cluster makes contact. A node that is a member already is answered
    /// so, and is contacted by its leader.
    Join {
        /// Cluster to join.
        cluster_id: u128,
        /// One of its members.
        peer: PeerAddress,
    },
    /// What the node is waiting for, to be shown in the status; sent when it changes.
    Report(String),
}

/// Intervals of formation, all measured in the time that is passed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How often [`Event::Tick`] is fed.
    pub(crate) tick: Duration,
    /// How often a pristine node probes the addresses it knows.
    pub(crate) probe: Duration,
    /// How often a member does, to notice other clusters of the same name.
    pub(crate) probe_as_member: Duration,
    /// How often an unanswered promise or join is asked for again.
    pub(crate) retry: Duration,
    /// A node not heard of for so long is not counted on.
    pub(crate) fresh: Duration,
    /// How long each next id waits for the ones before it to initialize.
    pub(crate) takeover: Duration,
    /// How long a node looks for a cluster at the addresses it has before it makes one, unless all
    /// of them have answered.
    pub(crate) look: Duration,
    /// The same where the source of addresses may not have seen all of them yet.
    pub(crate) look_around: Duration,
}

impl Default for Timing {
    /// Quick enough for a cluster within a second or two, slow enough for a slow network.
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(50),
            probe: Duration::from_millis(250),
            probe_as_member: Duration::from_secs(10),
            retry: Duration::from_millis(250),
            fresh: Duration::from_millis(1500),
            takeover: Duration::from_secs(2),
            look: Duration::from_secs(1),
            // Time for a second query by multicast: the first may get lost, and is not answered by
            // who has said the same less than a second ago.
            look_around: Duration::from_secs(2),
        }
    }
}
