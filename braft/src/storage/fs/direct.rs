//! Writes that pass by the page cache and are durable when they return.
//!
//! One call does what a write and a sync do otherwise, and the kernel has no page to look for, to lock and to
//! write back: of a small record that is a good part of what making it durable costs.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// Alignment where the file system does not tell: what a page and a sector of today's disks have.
const USUAL_BLOCK_BYTES: usize = 4096;
/// Longest blocks that are worth it: a block is written as a whole, however little of it is new.
#[cfg(target_os = "linux")]
const MAX_BLOCK_BYTES: usize = 64 << 10;

/// An open file that is written in place, by whole blocks.
///
/// # Correctness
/// The blocks must be allocated. What is read otherwise, before or after, is coherent with this as
/// long as nobody writes the same bytes in both ways at once.
pub(crate) trait DirectFile: Send + Sync {
    /// A power of two: offset, length and address of what is written are multiples of it.
    fn block_bytes(&self) -> usize;
    /// Writes whole blocks; they are durable when this returns.
    fn write_blocks(&self, blocks: &[u8], offset: u64) -> io::Result<()>;
}

/// Zeroed memory that starts at a multiple of a block.
pub(crate) struct Blocks {
    memory: Vec<u8>,
    from: usize,
    bytes: usize,
}

impl Blocks {
    pub(crate) fn new(block_bytes: usize, bytes: usize) -> Self {
        let memory = vec![0; bytes + block_bytes];
        // The memory stays where it is, for it never grows.
        let from = memory.as_ptr().addr().next_multiple_of(block_bytes) - memory.as_ptr().addr();
        Self {
            memory,
            from,
            bytes,
        }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.from..self.from + self.bytes]
    }
}

/// Whether a file system says that it takes no direct access, or not this one: nothing has happened.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

/// Opens a file of the machine; nothing if its file system takes no direct writes.
#[cfg(target_os = "linux")]
pub(super) fn open(path: &Path) -> io::Result<Option<Arc<dyn DirectFile>>> {
    use std::os::unix::fs::{FileExt, OpenOptionsExt};

    let direct = (rustix::fs::OFlags::DIRECT | rustix::fs::OFlags::DSYNC).bits();
    let mut options = std::fs::OpenOptions::new();
    let file = match options
        .read(true)
        .write(true)
        .custom_flags(direct.cast_signed())
        .open(path)
    {
        Err(error) if is_refusal(&error) => return Ok(None),
        opened => opened?,
    };
    let Some(block_bytes) = linux::block_bytes(&file) else {
        return Ok(None);
    };
    // Some take the flag, and refuse each access.
    let mut probe = Blocks::new(block_bytes, block_bytes);
    match file.read_at(probe.bytes(), 0) {
        Err(error) if is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
        Ok(_) => Ok(Some(Arc::new(linux::File { file, block_bytes }))),
    }
}

/// Other systems have other ways; there the log is written as anything else is.
#[cfg(not(target_os = "linux"))]
pub(super) fn open(_: &Path) -> io::Result<Option<Arc<dyn DirectFile>>> {
    Ok(None)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io;
    use std::os::unix::fs::FileExt;

    use rustix::fs::{AtFlags, StatxFlags, statx};

    use super::{DirectFile, MAX_BLOCK_BYTES, USUAL_BLOCK_BYTES};

    pub(super) struct File {
        pub(super) file: fs::File,
        pub(super) block_bytes: usize,
    }

    /// What direct access to a file has to be aligned to; nothing if there is none.
    pub(super) fn block_bytes(file: &fs::File) -> Option<usize> {
        // Older kernels and some file systems do not know; then the usual is tried.
        let told = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)
            .ok()
            .filter(|stat| stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0);
        let Some(told) = told else {
            return Some(USUAL_BLOCK_BYTES);
        };
        let wanted = told.stx_dio_mem_align.max(told.stx_dio_offset_align) as usize;
        // A smaller block would only make the disk read the rest of its sector or page.
        let block_bytes = wanted.max(USUAL_BLOCK_BYTES);
        let fits = block_bytes.is_power_of_two() && block_bytes <= MAX_BLOCK_BYTES;
        (told.stx_dio_offset_align > 0 && fits).then_some(block_bytes)
    }

    impl DirectFile for File {
        fn block_bytes(&self) -> usize {
            self.block_bytes
        }

        fn write_blocks(&self, blocks: &[u8], offset: u64) -> io::Result<()> {
            loop {
                // Durable when it returns: the file was opened for that.
                match self.file.write_at(blocks, offset) {
                    Ok(written) if written == blocks.len() => return Ok(()),
                    Ok(written) => {
                        let wanted = blocks.len();
                        let text = format!("the disk took {written} bytes of {wanted}");
                        return Err(io::Error::new(io::ErrorKind::WriteZero, text));
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::fs::{DiskFs, Fs, Mode};

    #[test]
    fn what_is_written_directly_is_read_in_the_usual_way_and_the_other_way_round() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory");
        let path = dir.path().join("file");
        let file = DiskFs.open(&path, Mode::Create).expect("created");
        file.write_all_at(&[1; 16 << 10], 0).expect("written");
        file.sync_all().expect("synced");
        let Some(direct) = DiskFs.open_direct(&path).expect("opened") else {
            return; // not on this file system
        };
        let block_bytes = direct.block_bytes();
        let mut blocks = Blocks::new(block_bytes, block_bytes);
        for byte in 2..20 {
            // A page that was only just written, and not synced, stands in the way.
            file.write_all_at(&[byte; 10], 0).expect("written");
            blocks.bytes().fill(byte + 100);
            direct.write_blocks(blocks.bytes(), 0).expect("written");
            let read = file.read_all(1 << 20).expect("read");
            let (ours, rest) = read.split_at(block_bytes);
            assert!(ours.iter().all(|read| *read == byte + 100));
            assert!(rest.iter().all(|read| *read == 1));
        }
    }

    #[test]
    fn memory_is_aligned() {
        for block_bytes in [512, 4096, 65536] {
            let mut blocks = Blocks::new(block_bytes, 3 * block_bytes);
            assert_eq!(blocks.bytes().as_ptr().addr() % block_bytes, 0);
            assert_eq!(blocks.bytes().len(), 3 * block_bytes);
        }
    }

    #[test]
    fn a_file_system_in_memory_takes_them_or_says_so() {
        let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
            return;
        };
        let path = dir.path().join("file");
        let file = DiskFs.open(&path, Mode::Create).expect("created");
        file.write_all_at(&[1; 8192], 0).expect("written");
        if let Some(direct) = DiskFs.open_direct(&path).expect("asked") {
            let mut blocks = Blocks::new(direct.block_bytes(), direct.block_bytes());
            blocks.bytes().fill(2);
            direct.write_blocks(blocks.bytes(), 0).expect("written");
            assert_eq!(file.read_all(8192).expect("read")[0], 2);
        }
    }
}
