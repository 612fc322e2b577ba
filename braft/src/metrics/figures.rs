//! What a node tells others of its work: enough for rates and quantiles between two looks.

use serde::{Deserialize, Serialize};

use super::calls::CallsFigures;
use super::histogram::Counts;

/// Counts since the node started. Older nodes leave out what they do not know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    /// Items of the log carried out.
    pub(crate) applied: u64,
    pub(crate) commands: Group,
    pub(crate) queries: Group,
    /// Calls passed on to the leader.
    pub(crate) forwarded: u64,
    /// Commands, and reads, taken in and not yet answered.
    pub(crate) pending: [usize; 2],
    /// Syncs by their duration, in the buckets of a histogram.
    pub(crate) fsync_times: Vec<u64>,
    pub(crate) snapshot_bytes: u64,
    /// When the newest snapshot was written, seconds since 1970.
    pub(crate) snapshot_at: u64,
    pub(crate) methods: Vec<MethodFigures>,
    /// The leaders of late, the newest last.
    pub(crate) leaderships: Vec<Leadership>,
    /// What was decided about the members of late, the newest last.
    pub(crate) decisions: Vec<Decided>,
}

/// Calls of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Group {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Those that were answered by their duration, in the buckets of a histogram.
    pub(crate) times: Vec<u64>,
}

/// Calls of one method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MethodFigures {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
}

/// Who led, as this node saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Leadership {
    pub(crate) term: u64,
    /// Node id, 16 hexadecimal digits; nothing while none was known.
    pub(crate) leader: Option<String>,
    /// Since when, seconds since 1970.
    pub(crate) since: u64,
}

/// A change of the members that this node decided on as leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Decided {
    /// Seconds since 1970.
    pub(crate) at: u64,
    /// What, and why.
    pub(crate) text: String,
    /// `done`, or `failed`.
    pub(crate) result: String,
}

impl Figures {
    /// Adds the calls.
    pub(crate) fn count(&mut self, calls: &CallsFigures) {
        let mut times = [Counts::default(), Counts::default()];
        for method in calls.methods() {
            let answered = method.answered.counts();
            let failed = method.failed.counts().total();
            let (group, times) = if method.method.is_command {
                (&mut self.commands, &mut times[0])
            } else {
                (&mut self.queries, &mut times[1])
            };
            group.answered += answered.total();
            group.failed += failed;
            times.add(&answered);
            self.methods.push(MethodFigures {
                service: method.service.to_owned(),
                method: method.method.name.to_owned(),
                answered: answered.total(),
                failed,
            });
        }
        let [commands, queries] = times.map(|times| times.buckets.to_vec());
        (self.commands.times, self.queries.times) = (commands, queries);
        self.forwarded = calls.forwarded();
    }
}
