//! What goes into the log and what it says about itself.

use std::fmt;
use std::io;

use bytes::Bytes;

/// The position of a log entry: the term it was proposed in and its index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct LogId {
    /// Orders first, as in raft.
    pub(crate) term: u64,
    /// Counts from 0 without holes.
    pub(crate) index: u64,
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.term, self.index)
    }
}

/// One log entry. The log looks at nothing but its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogEntry {
    /// Where it stands.
    pub(crate) id: LogId,
    /// Told back as it was given.
    pub(crate) kind: u8,
    /// Shared, never copied except into the write buffer.
    pub(crate) payload: Bytes,
}

/// Whom this node voted for, and whether a quorum granted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Vote {
    /// The term of the vote.
    pub(crate) term: u64,
    /// The candidate's node id.
    pub(crate) voted_for: Option<u64>,
    /// The candidate is known to be the term's leader.
    pub(crate) committed: bool,
}

/// Called once, from the thread that saw to the disk, when the operation is durable or has failed.
///
/// It must not block: the next batch waits for it.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Bytes of a full segment: large enough that a rotation is rare, small enough that purging
/// gives space back soon.
pub(crate) const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;

/// Bytes of recent entries kept in memory: what followers and the state machine read is
/// almost always among them. One that lags further reads files.
pub(crate) const DEFAULT_CACHE_BYTES: u64 = 4 << 20;

/// Bytes of entries that may wait for the disk before an append waits too.
pub(crate) const DEFAULT_QUEUE_BYTES: u64 = 32 << 20;

/// Free bytes below which [`super::Wal::disk_low`] warns: room for a snapshot of a small state
/// and for the segments that purging it needs.
pub(crate) const DEFAULT_RESERVE_BYTES: u64 = 256 << 20;

/// How a log uses disk and memory.
#[derive(Clone, Debug)]
pub(crate) struct WalOptions {
    /// Length of a segment file; an entry must fit into one.
    pub(crate) segment_bytes: u64,
    /// Payload bytes of durable entries kept in memory.
    pub(crate) cache_bytes: u64,
    /// Bytes of entries that may be on their way to the disk.
    pub(crate) queue_bytes: u64,
    /// Free bytes below which the disk counts as low.
    pub(crate) reserve_bytes: u64,
    /// Carry each operation out in the thread that calls, without any thread of the log's own:
    /// for simulation, where nothing may depend on the scheduler.
    pub(crate) inline: bool,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            cache_bytes: DEFAULT_CACHE_BYTES,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            reserve_bytes: DEFAULT_RESERVE_BYTES,
            inline: false,
        }
    }
}

/// The log's two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct WalState {
    /// The last entry that was purged.
    pub(crate) last_purged: Option<LogId>,
    /// The last entry, or the last purged one if there is none after it.
    pub(crate) last: Option<LogId>,
}

/// Counters since the log was opened, and sizes as of now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct WalStats {
    /// Successful syncs of log and vote files.
    pub(crate) fsyncs: u64,
    /// Batches written, idle marks left out.
    pub(crate) batches: u64,
    /// Entries made durable.
    pub(crate) entries: u64,
    /// Bytes written into segments.
    pub(crate) bytes: u64,
    /// Segment files in use.
    pub(crate) segments: u64,
    /// Bytes of all segment files, the prepared one included.
    pub(crate) disk_bytes: u64,
    /// Operations that wait for the writer.
    pub(crate) queue_depth: u64,
    /// Payload bytes held in memory.
    pub(crate) cache_bytes: u64,
}
