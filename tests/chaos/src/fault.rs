//! The faults that the harness knows.

use std::fmt;

use clap::ValueEnum;

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Fault {
    /// `SIGKILL` of a node.
    Kill,
    /// `SIGKILL` of all nodes at once.
    KillAll,
    /// `SIGSTOP` of a node, `SIGCONT` later.
    Stop,
    /// A node is cut off in both directions.
    Cut,
    /// What one node sends to some others is lost.
    OneWay,
    /// Two nodes on one side, all others on the other.
    Split,
    /// Frames from and to a node are lost at random.
    Loss,
    /// Frames from and to a node are late.
    Delay,
    /// All connections of a node are reset.
    Reset,
    /// A node's disk is full.
    FullDisk,
    /// A node's syncs fail.
    FailSync,
    /// A node's syncs take long.
    SlowSync,
    /// What a node's disk was not told to sync is lost, and the node with it.
    PowerCut,
    /// The same on all nodes at once.
    PowerCutAll,
    /// A node comes back with an empty disk.
    LoseDisk,
    /// A node's wall clock jumps.
    WallClock,
}

impl Fault {
    pub(crate) const OF_NETWORK: &[Fault] = &[
        Fault::Cut,
        Fault::OneWay,
        Fault::Split,
        Fault::Loss,
        Fault::Delay,
        Fault::Reset,
    ];
    pub(crate) const OF_PRELOAD: &[Fault] = &[Fault::FailSync, Fault::SlowSync, Fault::WallClock];
    pub(crate) const OF_DISK: &[Fault] = &[Fault::FullDisk, Fault::PowerCut, Fault::PowerCutAll];
    pub(crate) const OF_POWER: &[Fault] = &[Fault::PowerCut, Fault::PowerCutAll];

    /// Whether a node that is under it may end by itself.
    pub(crate) fn may_end_the_node(self) -> bool {
        matches!(
            self,
            Fault::FullDisk | Fault::FailSync | Fault::PowerCut | Fault::PowerCutAll
        )
    }

    /// Whether a node may end by itself even some time after it.
    pub(crate) fn may_end_the_node_late(self) -> bool {
        matches!(self, Fault::FullDisk | Fault::FailSync)
    }

    /// Whether it takes a node, so that no other fault of that sort may come to it.
    pub(crate) fn takes_a_node(self) -> bool {
        !Fault::OF_NETWORK.contains(&self) && self != Fault::WallClock
    }

    /// Whether it comes to all nodes at once.
    pub(crate) fn takes_all(self) -> bool {
        matches!(self, Fault::KillAll | Fault::PowerCutAll)
    }

    /// Seconds that it lasts: at least, at most.
    pub(crate) fn seconds(self) -> (f64, f64) {
        match self {
            Fault::Kill
            | Fault::KillAll
            | Fault::PowerCut
            | Fault::PowerCutAll
            | Fault::LoseDisk => (0.2, 3.0),
            Fault::Reset => (0.0, 0.1),
            Fault::Stop => (0.3, 4.0),
            Fault::FailSync => (1.0, 3.0),
            Fault::WallClock => (2.0, 10.0),
            _ => (1.0, 6.0),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.pad(name.as_ref().map_or("", |name| name.get_name()))
    }
}
