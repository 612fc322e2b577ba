//! Work on a data directory while no node runs in it.
//!
//! | file | what it holds |
//! |---|---|
//! | `opened.rs` | a directory that is only read |
//! | `alone.rs` | log and snapshot of a node that is a cluster of its own |
//! | `restore.rs` | a new directory from a backup |
//! | `recover.rs` | a directory that becomes a cluster of its own |
//! | `swap.rs` | its new data takes the place of the old |
//!
//! Nothing here knows the types of a service: states are sections of bytes.

mod alone;
mod opened;
mod recover;
mod restore;
mod swap;

use std::io;
use std::path::Path;

use crate::error::Error;

pub(crate) use opened::{Opened, Scan};
pub(crate) use recover::Recovery;
pub(crate) use restore::restore;

/// Told how many more bytes are done.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(u64);

fn failed(error: impl std::error::Error) -> Error {
    Error::fatal(error.to_string())
}

/// What the disk said about a directory.
fn disk(dir: &Path, error: &io::Error) -> Error {
    Error::fatal(format!("{}: {error}", dir.display()))
}
