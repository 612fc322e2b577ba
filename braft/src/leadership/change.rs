//! Who leads now, as one node sees it.

/// What [`Config::on_leader_change`](crate::Config::on_leader_change) is told: who leads from now
/// on, as far as this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaderChange {
    /// The raft term.
    pub term: u64,
    /// The leader; `None` while none is known.
    pub leader: Option<Leader>,
    /// Whether this node is it.
    pub is_here: bool,
}

/// The leader of a term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// Node id, 16 hexadecimal digits.
    pub id: String,
    /// Readable name.
    pub name: String,
    /// Where peers and clients reach it: "host:port".
    pub address: String,
}
