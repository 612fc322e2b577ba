//! The file that says that a command was ended in the middle of its work on a directory. No node
//! starts there until the command has gone on to its end.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::OpenNodeDirError;
use super::sealed::{PREFIX, read_sealed, seal};
use crate::codec;
use crate::storage::fs::{Fs, replace_file};

/// Its name.
pub(crate) const UNFINISHED: &str = "unfinished";
const MAGIC: [u8; 8] = *b"braftunf";
/// Its longest content: a few words.
const MAX_BYTES: usize = 4096;

/// What was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unfinished {
    /// The directory is being filled from a backup. What is in it is of no use.
    Restore,
    /// The node in it becomes a cluster of its own.
    Recover {
        stage: Stage,
        /// The directory in it that keeps what was there before.
        kept_in: String,
    },
}

/// How far a recovery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// The new data is being written; the old data is where it was.
    Building,
    /// The new data is complete. The old data is being moved away.
    SettingAside,
    /// The old data is away. The new data takes its place.
    PuttingIn,
}

impl Unfinished {
    pub(crate) fn write(&self, fs: &dyn Fs, dir: &Path) -> io::Result<()> {
        let mut bytes = vec![0; PREFIX];
        bytes.extend(codec::encode(self).map_err(io::Error::other)?);
        seal(&mut bytes, MAGIC);
        replace_file(fs, dir, UNFINISHED, &bytes)
    }

    /// What was begun in a directory, if it was not finished.
    pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<Self>, OpenNodeDirError> {
        let file = dir.join(UNFINISHED);
        let there = fs.exists(&file).map_err(|source| OpenNodeDirError::Io {
            dir: dir.to_path_buf(),
            source,
        })?;
        if !there {
            return Ok(None);
        }
        let bytes = read_sealed(fs, dir, &file, MAGIC, MAX_BYTES)?;
        let unfinished = codec::decode(&bytes[PREFIX..]);
        unfinished
            .map(Some)
            .map_err(|error| OpenNodeDirError::Damaged {
                file,
                what: error.to_string(),
            })
    }

    fn command(&self) -> &'static str {
        match self {
            Unfinished::Restore => "restore",
            Unfinished::Recover { .. } => "recover",
        }
    }
}

/// Refuses a directory in which something was begun and not finished.
pub(crate) fn check(fs: &dyn Fs, dir: &Path) -> Result<(), OpenNodeDirError> {
    match Unfinished::read(fs, dir)? {
        None => Ok(()),
        Some(unfinished) => Err(OpenNodeDirError::Unfinished {
            dir: dir.to_path_buf(),
            command: unfinished.command(),
        }),
    }
}
