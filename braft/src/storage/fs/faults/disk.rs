//! The disk behind a [`FaultFs`](super::FaultFs): what is on it, and what a crash leaves.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::FaultFile;

/// What a torn write keeps or loses as a whole.
const SECTOR: usize = 512;
/// Of so many sectors that were not synced and survive a crash, one has a bit that is wrong.
const GARBLED_ONE_IN: u64 = 32;

/// What a machine is doing to its disk, in a directory, when its power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Write,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

/// What is to happen at a step that is to come.
pub(super) struct Ambush {
    pub(super) step: Step,
    /// The name of a file, or of the directory it is in.
    pub(super) place: &'static str,
    /// Such steps that come before it.
    pub(super) after: u64,
    /// Decides what is left of the disk, if the power is cut.
    pub(super) crash: Option<u64>,
    /// What else happens to the machine.
    pub(super) then: Box<dyn FnOnce() + Send>,
}

impl Ambush {
    fn is_laid_at(&self, step: Step, path: &Path) -> bool {
        let dir = path.parent().and_then(Path::file_name);
        let mut names = path.file_name().into_iter().chain(dir);
        self.step == step && names.any(|name| name == self.place)
    }
}

#[derive(Default)]
pub(super) struct Disk {
    pub(super) names: BTreeMap<PathBuf, usize>,
    pub(super) durable_names: BTreeMap<PathBuf, usize>,
    pub(super) inodes: Vec<Inode>,
    /// Counts crashes; a file of an earlier life is dead.
    pub(super) life: u64,
    pub(super) capacity: Option<u64>,
    /// Operations until the next failure, and its kind.
    pub(super) failing_write: Option<(u64, io::ErrorKind)>,
    pub(super) failing_sync: Option<(u64, io::ErrorKind)>,
    pub(super) failing_read: Option<(u64, io::ErrorKind)>,
    pub(super) ambush: Option<Ambush>,
    /// Syncs wait while this is set.
    pub(super) held: bool,
    /// How many of them wait.
    pub(super) waiting: usize,
    pub(super) syncs: u64,
    /// Whether files take direct writes; unless it is said, every other one does.
    pub(super) takes_direct_writes: Option<bool>,
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) bytes: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<(usize, Vec<u8>)>,
    pub(super) locked: bool,
}

/// All files as they are, to go back to.
pub(crate) struct Image {
    pub(super) names: BTreeMap<PathBuf, usize>,
    pub(super) inodes: Vec<Inode>,
}

pub(super) fn due(failure: &mut Option<(u64, io::ErrorKind)>) -> io::Result<()> {
    match failure {
        Some((0, kind)) => {
            let error = io::Error::new(*kind, "injected fault");
            *failure = None;
            Err(error)
        }
        Some((left, _)) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

/// What a machine is told that has crashed and does not know it.
pub(super) fn dead() -> io::Error {
    io::Error::other("the machine has crashed since")
}

/// Whether what was drawn for a piece of a crashed disk lets it survive.
fn survives(drawn: u64) -> bool {
    drawn & 0x100 != 0
}

/// Which of the bytes that a write changes gets a wrong bit. Bytes that are written as they were stay
/// so: the cache of a real machine, too, writes whole sectors in which little is new.
fn changed(before: &[u8], written: &[u8], drawn: u64) -> Option<usize> {
    let differs = |at: &usize| before[*at] != written[*at];
    let mut changed = (0..written.len()).filter(differs);
    let count = changed.clone().count();
    changed.nth((drawn as usize).checked_rem(count)?)
}

impl Disk {
    pub(super) fn inode(&mut self, file: &FaultFile) -> io::Result<&mut Inode> {
        if file.life != self.life {
            return Err(dead());
        }
        Ok(&mut self.inodes[file.inode])
    }

    /// A step is being taken: something may have been laid there.
    pub(super) fn step(&mut self, step: Step, path: &Path) -> io::Result<()> {
        let laid = self.ambush.as_mut();
        let Some(ambush) = laid.filter(|ambush| ambush.is_laid_at(step, path)) else {
            return Ok(());
        };
        if ambush.after > 0 {
            ambush.after -= 1;
            return Ok(());
        }
        let Some(Ambush { crash, then, .. }) = self.ambush.take() else {
            return Ok(());
        };
        if let Some(seed) = crash {
            self.crash(seed);
        }
        then();
        crash.map_or(Ok(()), |_| Err(dead()))
    }

    pub(super) fn crash(&mut self, seed: u64) {
        let mut random = seed;
        let mut draw = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        if survives(draw()) {
            self.durable_names.clone_from(&self.names);
        } else {
            self.names.clone_from(&self.durable_names);
        }
        for inode in &mut self.inodes {
            inode.locked = false;
            // What is not pending is durable as it is.
            if inode.pending.is_empty() {
                continue;
            }
            let whole = inode.bytes.len();
            for (offset, bytes) in inode.pending.drain(..) {
                let mut at = 0;
                while at < bytes.len() {
                    let sector_end = (offset + at) / SECTOR * SECTOR + SECTOR;
                    let end = bytes.len().min(sector_end - offset);
                    let drawn = draw();
                    if survives(drawn) {
                        let durable = &mut inode.durable;
                        durable.resize(durable.len().max(offset + end).min(whole), 0);
                        let to = (offset + end).min(durable.len());
                        let from = (offset + at).min(to);
                        let written = &bytes[at..at + to - from];
                        let garbled = (drawn >> 16).is_multiple_of(GARBLED_ONE_IN);
                        let wrong = garbled
                            .then(|| changed(&durable[from..to], written, drawn >> 32))
                            .flatten();
                        durable[from..to].copy_from_slice(written);
                        if let Some(wrong) = wrong {
                            durable[from + wrong] ^= 1;
                        }
                    }
                    at = end;
                }
            }
            inode.bytes.clone_from(&inode.durable);
        }
        self.life += 1;
        self.held = false;
        self.ambush = None;
    }

    pub(super) fn used(&self) -> u64 {
        self.names
            .values()
            .map(|inode| self.inodes[*inode].bytes.len() as u64)
            .sum()
    }

    pub(super) fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX / 2, |capacity| {
            capacity.saturating_sub(self.used())
        })
    }

    pub(super) fn grow(&mut self, file: &FaultFile, bytes: usize) -> io::Result<()> {
        let more = bytes.saturating_sub(self.inode(file)?.bytes.len()) as u64;
        if more > 0 && more > self.free() {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "injected full disk",
            ));
        }
        let inode = self.inode(file)?;
        if inode.bytes.len() < bytes {
            inode.bytes.resize(bytes, 0);
        }
        Ok(())
    }
}
