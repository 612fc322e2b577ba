//! A file system in memory that fails and crashes when told to.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::Fs;
use super::FsFile;
use super::Mode;

/// What a torn write keeps or loses as a whole.
const SECTOR: usize = 512;

/// A file system in memory.
///
/// A crash loses what was not synced, or parts of it, and cuts off all open files: whoever still
/// holds one gets errors.
#[derive(Clone, Default)]
pub(crate) struct FaultFs {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    disk: Mutex<Disk>,
    /// Signals each change of `held` and `waiting`.
    syncs: Condvar,
}

#[derive(Default)]
struct Disk {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    inodes: Vec<Inode>,
    /// Counts crashes; a file of an earlier life is dead.
    life: u64,
    capacity: Option<u64>,
    /// Operations until the next failure, and its kind.
    failing_write: Option<(u64, io::ErrorKind)>,
    failing_sync: Option<(u64, io::ErrorKind)>,
    /// Syncs wait while this is set.
    held: bool,
    /// How many of them wait.
    waiting: usize,
    syncs: u64,
}

#[derive(Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
    locked: bool,
}

/// All files as they are, to go back to.
pub(crate) struct Image {
    names: BTreeMap<PathBuf, usize>,
    inodes: Vec<Inode>,
}

struct FaultFile {
    shared: Arc<Shared>,
    inode: usize,
    life: u64,
    locks: Mutex<bool>,
}

fn due(failure: &mut Option<(u64, io::ErrorKind)>) -> io::Result<()> {
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

impl Disk {
    fn inode(&mut self, file: &FaultFile) -> io::Result<&mut Inode> {
        if file.life != self.life {
            return Err(io::Error::other("the machine has crashed since"));
        }
        Ok(&mut self.inodes[file.inode])
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|inode| self.inodes[*inode].bytes.len() as u64)
            .sum()
    }

    fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX / 2, |capacity| {
            capacity.saturating_sub(self.used())
        })
    }

    fn grow(&mut self, file: &FaultFile, bytes: usize) -> io::Result<()> {
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultFs {
    /// An empty disk without bound.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets a disk be full at this many bytes.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.lock().capacity = bytes;
    }

    /// Bytes of all files.
    pub(crate) fn used(&self) -> u64 {
        self.shared.lock().used()
    }

    /// Lets the write after `after` more fail.
    pub(crate) fn fail_write(&self, after: u64, kind: io::ErrorKind) {
        self.shared.lock().failing_write = Some((after, kind));
    }

    /// Lets the sync after `after` more fail.
    pub(crate) fn fail_sync(&self, after: u64, kind: io::ErrorKind) {
        self.shared.lock().failing_sync = Some((after, kind));
    }

    /// Takes back the failures that have not come yet, and the bound.
    pub(crate) fn heal(&self) {
        let mut disk = self.shared.lock();
        disk.failing_write = None;
        disk.failing_sync = None;
        disk.capacity = None;
    }

    /// Whether a failure was asked for that has not come yet.
    pub(crate) fn fault_is_due(&self) -> bool {
        let disk = self.shared.lock();
        disk.failing_write.is_some() || disk.failing_sync.is_some()
    }

    /// Lets all syncs wait, or go on.
    pub(crate) fn hold_syncs(&self, hold: bool) {
        self.shared.lock().held = hold;
        self.shared.syncs.notify_all();
    }

    /// Waits until a sync waits.
    pub(crate) fn wait_for_held_sync(&self) {
        let mut disk = self.shared.lock();
        while disk.waiting == 0 {
            disk = self
                .shared
                .syncs
                .wait(disk)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many syncs have succeeded.
    pub(crate) fn syncs(&self) -> u64 {
        self.shared.lock().syncs
    }

    /// A file's content.
    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.shared.lock();
        disk.names
            .get(path)
            .map(|inode| disk.inodes[*inode].bytes.clone())
    }

    /// Changes a file's content behind its owner's back.
    pub(crate) fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.shared.lock();
        let inode = *disk.names.get(path).expect("the file exists");
        let inode = &mut disk.inodes[inode];
        change(&mut inode.bytes);
        inode.durable.clone_from(&inode.bytes);
        inode.pending.clear();
    }

    /// All files as they are.
    pub(crate) fn image(&self) -> Image {
        let disk = self.shared.lock();
        Image {
            names: disk.names.clone(),
            inodes: disk.inodes.clone(),
        }
    }

    /// Brings the files back to what they were.
    pub(crate) fn restore(&self, image: &Image) {
        let mut disk = self.shared.lock();
        disk.names.clone_from(&image.names);
        disk.durable_names.clone_from(&image.names);
        disk.inodes.clone_from(&image.inodes);
        disk.life += 1;
    }

    /// Crashes the machine: of what was not synced each sector, and all names together, survive
    /// or not as the seed will have it. Seed 0 loses all of it.
    pub(crate) fn crash(&self, seed: u64) {
        let mut random = seed;
        let mut survives = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random & 0x100 != 0
        };
        let mut disk = self.shared.lock();
        let disk = &mut *disk;
        if survives() {
            disk.durable_names.clone_from(&disk.names);
        } else {
            disk.names.clone_from(&disk.durable_names);
        }
        for inode in &mut disk.inodes {
            let whole = inode.bytes.len();
            for (offset, bytes) in inode.pending.drain(..) {
                let mut at = 0;
                while at < bytes.len() {
                    let sector_end = (offset + at) / SECTOR * SECTOR + SECTOR;
                    let end = bytes.len().min(sector_end - offset);
                    if survives() {
                        let durable = &mut inode.durable;
                        durable.resize(durable.len().max(offset + end).min(whole), 0);
                        let to = (offset + end).min(durable.len());
                        let from = (offset + at).min(to);
                        durable[from..to].copy_from_slice(&bytes[at..at + to - from]);
                    }
                    at = end;
                }
            }
            inode.bytes.clone_from(&inode.durable);
            inode.locked = false;
        }
        disk.life += 1;
        disk.held = false;
        self.shared.syncs.notify_all();
    }
}

impl Fs for FaultFs {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        let mut disk = self.shared.lock();
        let found = disk.names.get(path).copied();
        let inode = match (found, mode) {
            (Some(inode), Mode::Create) => {
                disk.inodes[inode] = Inode::default();
                inode
            }
            (Some(inode), _) => inode,
            (None, Mode::Read | Mode::Write) => {
                let message = format!("{} does not exist", path.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
            (None, Mode::Create | Mode::OpenOrCreate) => {
                disk.inodes.push(Inode::default());
                let inode = disk.inodes.len() - 1;
                disk.names.insert(path.to_path_buf(), inode);
                inode
            }
        };
        Ok(Arc::new(FaultFile {
            shared: Arc::clone(&self.shared),
            inode,
            life: disk.life,
            locks: Mutex::new(false),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.shared.lock();
        let inode = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_path_buf(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.shared.lock().names.remove(path);
        removed
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.shared.lock();
        let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(String::from).collect())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.shared.lock();
        due(&mut disk.failing_sync)?;
        let disk = &mut *disk;
        let inside = |path: &Path| path.parent() == Some(dir);
        disk.durable_names.retain(|path, _| !inside(path));
        let names = disk.names.iter().filter(|(path, _)| inside(path));
        disk.durable_names
            .extend(names.map(|(path, inode)| (path.clone(), *inode)));
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.shared.lock().names.contains_key(path))
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.shared.lock().free())
    }
}

impl FsFile for FaultFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.shared.lock();
        let bytes = &disk.inode(self)?.bytes;
        let from = bytes.len().min(offset as usize);
        let read = buf.len().min(bytes.len() - from);
        buf[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.shared.lock();
        due(&mut disk.failing_write)?;
        let offset = offset as usize;
        disk.grow(self, offset + bytes.len())?;
        let inode = disk.inode(self)?;
        inode.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        inode.pending.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.shared.lock();
        disk.waiting += 1;
        self.shared.syncs.notify_all();
        while disk.held {
            disk = self
                .shared
                .syncs
                .wait(disk)
                .unwrap_or_else(PoisonError::into_inner);
        }
        disk.waiting -= 1;
        due(&mut disk.failing_sync)?;
        let inode = disk.inode(self)?;
        let bytes = inode.bytes.len();
        inode.durable.resize(bytes, 0);
        for (offset, bytes) in inode.pending.drain(..) {
            inode.durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        disk.syncs += 1;
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.shared.lock();
        disk.grow(self, bytes as usize)?;
        let inode = disk.inode(self)?;
        inode.bytes.truncate(bytes as usize);
        inode.durable.clone_from(&inode.bytes);
        inode.pending.clear();
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut disk = self.shared.lock();
        Ok(disk.inode(self)?.bytes.len() as u64)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut disk = self.shared.lock();
        let inode = disk.inode(self)?;
        let free = !std::mem::replace(&mut inode.locked, true);
        *self.locks.lock().unwrap_or_else(PoisonError::into_inner) = free;
        Ok(free)
    }
}

impl Drop for FaultFile {
    fn drop(&mut self) {
        let locks = *self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks && let Ok(inode) = self.shared.lock().inode(self) {
            inode.locked = false;
        }
    }
}
