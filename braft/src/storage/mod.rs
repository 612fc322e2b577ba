//! What a node keeps on disk: its identity, its log and votes, its snapshots.
//!
//! | module | keeps |
//! |---|---|
//! | `fs` | nothing: the seam through which the other three reach the file system |
//! | `node_dir` | who this node is, and that no second process uses the directory |
//! | `wal` | log entries, votes, the commit index |
//! | `snapshot` | state as of one log id, in a file of named sections |
//! | `backup` | nothing: a snapshot of a node in a file of its own, which says whose it is |
//!
//! Nothing here knows raft, the network or the services; nothing is async. The log has threads
//! of its own and answers through callbacks.

#[allow(dead_code)] // the node and the command line call it
pub(crate) mod backup;
#[allow(dead_code)] // the raft floor calls it
pub(crate) mod fs;
#[allow(dead_code)] // the node calls it
pub(crate) mod node_dir;
#[allow(dead_code)] // the raft floor calls it
pub(crate) mod snapshot;
#[allow(dead_code)] // the raft floor calls it
pub(crate) mod wal;
