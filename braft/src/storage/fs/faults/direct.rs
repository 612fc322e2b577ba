//! Direct writes on the disk in memory.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{FaultFile, Shared};
use crate::storage::fs::{DirectFile, FsFile};

/// Several sectors: a crash may leave a part of them.
const BLOCK_BYTES: usize = 4096;

pub(super) fn file(
    shared: Arc<Shared>,
    path: PathBuf,
    inode: usize,
    life: u64,
) -> Arc<dyn DirectFile> {
    Arc::new(FaultFile {
        shared,
        path,
        inode,
        life,
        locks: Mutex::new(false),
    })
}

impl DirectFile for FaultFile {
    fn block_bytes(&self) -> usize {
        BLOCK_BYTES
    }

    /// A write and a sync: each may fail, and the power may be cut at either.
    fn write_blocks(&self, blocks: &[u8], offset: u64) -> io::Result<()> {
        let numbers = [blocks.as_ptr().addr(), blocks.len(), offset as usize];
        let is_inside = offset + blocks.len() as u64 <= self.bytes()?;
        if !numbers.iter().all(|it| it.is_multiple_of(BLOCK_BYTES)) || !is_inside {
            let text = "not aligned, or not inside the file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.write_all_at(blocks, offset)?;
        self.sync_data()
    }
}
