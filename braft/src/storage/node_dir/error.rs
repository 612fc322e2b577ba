//! Why a data directory cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a data directory cannot be used. Nothing in it was changed, except that `LOCK` may have
/// been created.
#[derive(thiserror::Error, Debug)]
pub(crate) enum OpenNodeDirError {
    /// Another process is at work in it.
    #[error(
        "the data directory {} is in use by {}: stop that process, or give this node a \
         directory of its own", dir.display(), holder(*pid)
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who, if it could be read.
        pid: Option<u32>,
    },
    /// A file is not what was written.
    #[error(
        "{} is damaged: {what}; restore it from a copy, or give this node an empty data \
         directory and let it join again under a new id", file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is a log or a snapshot, but nothing says whose.
    #[error(
        "{} is missing, and {} holds data of a node: put the file back, or give this node an \
         empty data directory and let it join again under a new id", file.display(), data.display()
    )]
    Missing {
        /// The file that should be there.
        file: PathBuf,
        /// What was found instead.
        data: PathBuf,
    },
    /// A command was ended in the middle of its work on it.
    #[error(
        "`braft {command}` was begun on the data directory {} and not finished: run \
         `braft {command} --data-dir {}` again, which goes on where it was ended", dir.display(),
         dir.display()
    )]
    Unfinished {
        /// The directory.
        dir: PathBuf,
        /// Which command.
        command: &'static str,
    },
    /// Written by a later version of braft.
    #[error(
        "{} has format {found}, and this version of braft reads up to {known}: start the newer \
         version again that wrote it", file.display()
    )]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this build reads.
        known: u32,
    },
    /// The file system refused.
    #[error("the data directory {} cannot be opened: {source}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or("another process".into(), |pid| format!("process {pid}"))
}

/// Why a cluster id was not taken.
#[derive(thiserror::Error, Debug)]
pub(crate) enum SetClusterIdError {
    /// A node belongs to one cluster for ever.
    #[error(
        "the node in {} belongs to cluster {had:032x} and cannot join {asked:032x}: give it an \
         empty data directory", dir.display()
    )]
    Other {
        /// The data directory.
        dir: PathBuf,
        /// The cluster it belongs to.
        had: u128,
        /// The cluster that was asked for.
        asked: u128,
    },
    /// It could not be made durable.
    #[error("the cluster id cannot be written: {0}")]
    Io(#[from] io::Error),
}
