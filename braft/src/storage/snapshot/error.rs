//! Why a snapshot cannot be made, installed, received or read.

use std::io;
use std::path::PathBuf;

/// Why a snapshot cannot be started or written.
#[derive(thiserror::Error, Debug)]
pub(crate) enum CreateSnapshotError {
    /// The meta data or a section's name is beyond its bound.
    #[error("the snapshot's {what} is {bytes} bytes long, at most {max} are possible")]
    TooLong {
        /// Which of them.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The file system refused.
    #[error("the snapshot {} cannot be written: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Why a whole snapshot did not become the current one.
#[derive(thiserror::Error, Debug)]
pub(crate) enum InstallSnapshotError {
    /// It does not read back.
    #[error(transparent)]
    Read(#[from] ReadSnapshotError),
    /// The file system refused.
    #[error("the snapshot {} cannot be finished: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Why a snapshot cannot be read.
#[derive(thiserror::Error, Debug)]
pub(crate) enum ReadSnapshotError {
    /// Not what was written.
    #[error(
        "the snapshot {} is damaged at byte {offset}: {what}; restore the file from a copy, or \
         give this node an empty data directory and let it join again under a new id",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Written by a later version of braft.
    #[error(
        "the snapshot {} has format {found}, and this version of braft reads up to {known}: \
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
    /// The file system refused.
    #[error("the snapshot {} cannot be read: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Why a peer's snapshot cannot be received.
#[derive(thiserror::Error, Debug)]
pub(crate) enum ReceiveSnapshotError {
    /// The peer names a file in a way no peer of this version does.
    #[error("`{0}` is not the id of a snapshot file")]
    FileId(String),
    /// A piece does not follow the one before it.
    #[error("the snapshot goes on at byte {expected}, the piece received is for byte {got}")]
    Offset {
        /// Where the next piece must begin.
        expected: u64,
        /// Where it begins.
        got: u64,
    },
    /// The pieces do not add up to what was announced.
    #[error("the snapshot was announced with {announced} bytes, and {got} were received")]
    Length {
        /// The announced length.
        announced: u64,
        /// The length so far.
        got: u64,
    },
    /// The file is whole but not what the peer sent; it was removed, ask for it again.
    #[error("the received snapshot is not what was sent, it must be sent again: {0}")]
    Garbled(#[source] ReadSnapshotError),
    /// The file is whole but another than announced; it was removed.
    #[error("the received snapshot is {got}, and {announced} was announced")]
    OtherFile {
        /// The announced id.
        announced: String,
        /// The id in the file.
        got: String,
    },
    /// It did not become the current one.
    #[error(transparent)]
    Install(#[from] InstallSnapshotError),
    /// The file system refused.
    #[error("the snapshot {} cannot be received: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl From<ReadSnapshotError> for io::Error {
    fn from(error: ReadSnapshotError) -> Self {
        let kind = match &error {
            ReadSnapshotError::Io { source, .. } => source.kind(),
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
