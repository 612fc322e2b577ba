//! Why a log cannot be opened, and how a failed one says so again and again.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a log cannot be opened. Nothing on disk was changed, unless the error is [`Self::Io`].
#[derive(thiserror::Error, Debug)]
pub(crate) enum OpenWalError {
    /// Bytes that were known to be durable are not what was written.
    #[error(
        "the log file {} is damaged at byte {offset}: {what}; entries that this node has \
         acknowledged may be lost, so it does not start: restore the file from the disk's own \
         redundancy, or give this node an empty data directory and let it join again under a \
         new id", file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file that the others point to is not there.
    #[error(
        "the log file {} is missing: {what}; put it back, or give this node an empty data \
         directory and let it join again under a new id", file.display()
    )]
    Missing {
        /// The file.
        file: PathBuf,
        /// How it is known that it was there.
        what: String,
    },
    /// Written by a later version of braft.
    #[error(
        "the log file {} has format {found}, and this version of braft reads up to {known}: \
         start the newer version again that wrote it", file.display()
    )]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this build reads.
        known: u32,
    },
    /// The options contradict themselves.
    #[error("a log segment must be at least {min} bytes long and at most {max}, got {got}")]
    SegmentBytes {
        /// What was asked for.
        got: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// The file system refused.
    #[error("the log in {} cannot be opened: {source}", dir.display())]
    Io {
        /// The log's directory.
        dir: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// The first error of a log that has stopped. `io::Error` cannot be cloned, and each caller and
/// callback gets one of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    kind: io::ErrorKind,
    message: String,
}

impl Failure {
    pub(super) fn new(doing: &str, error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            message: format!("{doing}: {error}"),
        }
    }

    /// An error for one caller.
    pub(super) fn error(&self) -> io::Error {
        io::Error::new(self.kind, self.message.clone())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
