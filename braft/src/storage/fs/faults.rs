//! A file system in memory that fails and crashes when told to.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

mod direct;
mod disk;
#[cfg(test)]
mod tests;

use self::disk::Ambush;
use self::disk::Disk;
pub(crate) use self::disk::Image;
use self::disk::Inode;
pub(crate) use self::disk::Step;
use self::disk::dead;
use self::disk::due;
use super::DirectFile;
use super::Fs;
use super::FsFile;
use super::Mode;

/// A file system in memory.
///
/// A crash loses what was not synced, or parts of it, and cuts off all open files: whoever still
/// holds one gets errors.
#[derive(Clone, Default)]
pub(crate) struct FaultFs {
    shared: Arc<Shared>,
    /// The life of the machine to which this handle belongs; none: to whichever there is.
    life: Option<u64>,
}

#[derive(Default)]
struct Shared {
    disk: Mutex<Disk>,
    /// Signals each change of `held` and `waiting`.
    syncs: Condvar,
}

struct FaultFile {
    shared: Arc<Shared>,
    path: PathBuf,
    inode: usize,
    life: u64,
    locks: Mutex<bool>,
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

    /// Lets files be opened for direct writes, or none. Unless this is said, every other file can
    /// be, and after a crash the others, so that both ways of writing are played.
    #[cfg(test)]
    pub(crate) fn take_direct_writes(&self, take: bool) {
        self.shared.lock().takes_direct_writes = Some(take);
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

    /// Lets the read after `after` more fail.
    pub(crate) fn fail_read(&self, after: u64, kind: io::ErrorKind) {
        self.shared.lock().failing_read = Some((after, kind));
    }

    /// Takes back the failures that have not come yet, and the bound.
    pub(crate) fn heal(&self) {
        let mut disk = self.shared.lock();
        disk.failing_write = None;
        disk.failing_sync = None;
        disk.failing_read = None;
        disk.capacity = None;
    }

    /// Whether a failure was asked for that has not come yet.
    pub(crate) fn fault_is_due(&self) -> bool {
        let disk = self.shared.lock();
        let failing = [&disk.failing_write, &disk.failing_sync, &disk.failing_read];
        failing.into_iter().any(Option::is_some)
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
        self.shared.lock().crash(seed);
        self.shared.syncs.notify_all();
    }

    /// Crashes the machine at a step to come, at a file or in a directory of this name: the one after
    /// `after` more. `then` cuts all else, and must not touch the disk.
    pub(crate) fn crash_at(
        &self,
        at: (Step, &'static str),
        after: u64,
        seed: u64,
        then: impl FnOnce() + Send + 'static,
    ) {
        self.lay(at, after, Some(seed), Box::new(then));
    }

    /// Calls `then`, which must not touch the disk, at the next such step; the disk is well.
    pub(crate) fn at_step(&self, at: (Step, &'static str), then: impl FnOnce() + Send + 'static) {
        self.lay(at, 0, None, Box::new(then));
    }

    fn lay(
        &self,
        (step, place): (Step, &'static str),
        after: u64,
        crash: Option<u64>,
        then: Box<dyn FnOnce() + Send>,
    ) {
        self.shared.lock().ambush = Some(Ambush {
            step,
            place,
            after,
            crash,
            then,
        });
    }

    /// Nothing is to happen at a step any more.
    pub(crate) fn nothing_at_steps(&self) {
        self.shared.lock().ambush = None;
    }

    /// Whether what was to happen at a step is still to come.
    pub(crate) fn step_is_due(&self) -> bool {
        self.shared.lock().ambush.is_some()
    }

    /// The disk as the machine has it that is running now: of no use once it has crashed.
    pub(crate) fn of_this_life(&self) -> FaultFs {
        FaultFs {
            shared: Arc::clone(&self.shared),
            life: Some(self.shared.lock().life),
        }
    }

    /// Empties the disk.
    pub(crate) fn wipe(&self) {
        let mut disk = self.shared.lock();
        disk.names.clear();
        disk.durable_names.clear();
        disk.inodes.clear();
        disk.life += 1;
        disk.ambush = None;
    }

    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.shared.lock();
        if self.life.is_some_and(|life| life != disk.life) {
            return Err(dead());
        }
        Ok(disk)
    }
}

impl Fs for FaultFs {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        let mut disk = self.disk()?;
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
            path: path.to_path_buf(),
            inode,
            life: disk.life,
            locks: Mutex::new(false),
        }))
    }

    fn open_direct(&self, path: &Path) -> io::Result<Option<Arc<dyn DirectFile>>> {
        let disk = self.disk()?;
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let by_turns = (inode as u64 + disk.life).is_multiple_of(2);
        let takes = disk.takes_direct_writes.unwrap_or(by_turns);
        Ok(takes.then(|| {
            let (path, life) = (path.to_path_buf(), disk.life);
            direct::file(Arc::clone(&self.shared), path, inode, life)
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk()?;
        let inode = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_path_buf(), inode);
        disk.step(Step::Rename, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        disk.step(Step::Remove, path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.disk()?;
        let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(String::from).collect())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.step(Step::SyncDir, &dir.join("all"))?;
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
        Ok(self.disk()?.names.contains_key(path))
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.disk()?.free())
    }
}

impl FsFile for FaultFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.shared.lock();
        due(&mut disk.failing_read)?;
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
        disk.step(Step::Write, &self.path)
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
        disk.inode(self)?;
        disk.step(Step::Sync, &self.path)?;
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
