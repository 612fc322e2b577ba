//! Mistakes that a build with the feature `planted` makes when it is told to: whoever checks the
//! runtime has to find each of them. Other builds contain none.

/// A mistake, and what the runtime does instead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted"), allow(dead_code, unreachable_pub))]
pub enum Bug {
    /// Entries are acknowledged before they are synced.
    AckBeforeSync,
    /// A vote is given before it is synced.
    VoteNotSynced,
    /// A linearizable read asks nobody whether this node still leads.
    SkipReadIndex,
    /// A command that comes again is carried out again.
    ApplyTwice,
    /// A node with an empty disk takes the id that it had before.
    ReuseNodeId,
    /// A snapshot has its name before the directory is synced, and the log is purged.
    SnapshotNameNotSynced,
    /// A log whose synced part is damaged is cut there.
    CutSyncedDamage,
    /// Nodes of another cluster are let in.
    IgnoreClusterId,
    /// A leader counts on the whole lease, whatever the clocks do.
    LeaseWithoutMargin,
    /// A voter that was restarted votes at once, whatever it had promised.
    VoteAfterRestart,
    /// A member that was not met lately counts as dead, though the leader hears it.
    RemoveOnSilentDiscovery,
    /// A snapshot holds no sessions.
    SnapshotWithoutSessions,
    /// Each replica takes the time from its own clock.
    ClockInApply,
    /// The first node that makes a proposal initializes it, without waiting for promises.
    FormWithoutPromises,
    /// Each replica obeys the settings of its own configuration.
    OwnSettings,
    /// A leader that hands over goes on under its token.
    HandOverWithToken,
}

impl Bug {
    /// All of them.
    #[cfg(feature = "planted")]
    pub const ALL: [Bug; 16] = [
        Bug::AckBeforeSync,
        Bug::VoteNotSynced,
        Bug::SkipReadIndex,
        Bug::ApplyTwice,
        Bug::ReuseNodeId,
        Bug::SnapshotNameNotSynced,
        Bug::CutSyncedDamage,
        Bug::IgnoreClusterId,
        Bug::LeaseWithoutMargin,
        Bug::VoteAfterRestart,
        Bug::RemoveOnSilentDiscovery,
        Bug::SnapshotWithoutSessions,
        Bug::ClockInApply,
        Bug::FormWithoutPromises,
        Bug::OwnSettings,
        Bug::HandOverWithToken,
    ];

    /// In a few words.
    #[cfg(feature = "planted")]
    pub fn name(self) -> &'static str {
        match self {
            Bug::AckBeforeSync => "acknowledge before the sync",
            Bug::VoteNotSynced => "vote not synced",
            Bug::SkipReadIndex => "read without asking a quorum",
            Bug::ApplyTwice => "carry a repeated command out again",
            Bug::ReuseNodeId => "reuse the node id after a wipe",
            Bug::SnapshotNameNotSynced => "rename a snapshot, directory not synced",
            Bug::CutSyncedDamage => "cut the log at damage below the synced mark",
            Bug::IgnoreClusterId => "ignore the cluster id",
            Bug::LeaseWithoutMargin => "lease without margin",
            Bug::VoteAfterRestart => "vote at once after a restart",
            Bug::RemoveOnSilentDiscovery => "remove on silence of discovery",
            Bug::SnapshotWithoutSessions => "snapshot without sessions",
            Bug::ClockInApply => "own clock in apply",
            Bug::FormWithoutPromises => "form without promises",
            Bug::OwnSettings => "own settings in apply",
            Bug::HandOverWithToken => "hand over, keep the token",
        }
    }
}

/// Whether this thread is to make that mistake.
#[cfg(feature = "planted")]
pub(crate) fn is(bug: Bug) -> bool {
    chosen::CHOSEN.get() == Some(bug)
}

/// Whether this thread is to make that mistake: never.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub(crate) mod chosen {
    //! The mistake of this thread: simulations play in one thread each.

    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        pub(super) static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Lets this thread make a mistake from now on.
    pub(crate) fn plant(bug: Option<Bug>) {
        CHOSEN.set(bug);
    }
}
