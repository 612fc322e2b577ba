//! What a node keeps its data on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};

use crate::tools::{Disks, run};

/// Large enough for a node's log and snapshots, with its reserve.
const DISK_BYTES: u64 = 320 << 20;
/// How long a file system may be busy after its last program has ended.
const BUSY: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A disk; unmounted when it is dropped.
pub(crate) struct Disk {
    kind: Disks,
    /// Where it is mounted.
    at: PathBuf,
    image: PathBuf,
    is_mounted: bool,
}

impl Disk {
    pub(crate) fn new(kind: Disks, directory: &Path, number: usize) -> io::Result<Self> {
        let mut disk = Disk {
            kind,
            at: directory.join(format!("disk-{number}")),
            image: directory.join(format!("disk-{number}.image")),
            is_mounted: false,
        };
        fs::create_dir_all(&disk.at)?;
        if kind == Disks::Ext4 {
            File::create(&disk.image)?.set_len(DISK_BYTES)?;
            let mut make = Command::new("mkfs.ext4");
            run(make.args(["-q", "-F", "-m", "0"]).arg(&disk.image))?;
        }
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&mut self) -> io::Result<()> {
        let mut command = Command::new("mount");
        match self.kind {
            Disks::Ext4 => command.args(["-o", "loop"]).arg(&self.image),
            Disks::Memory => {
                command.args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "tmpfs"])
            }
            Disks::Plain => return Ok(()),
        };
        run(command.arg(&self.at))?;
        self.is_mounted = true;
        Ok(())
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.at.join("data")
    }

    /// Takes all space there is.
    pub(crate) fn fill(&self) -> io::Result<()> {
        let file = File::create(self.ballast())?;
        let mut end = 0;
        for piece in [64 << 20, 4 << 20, 256 << 10, 4 << 10] {
            while fallocate(&file, FallocateFlags::empty(), end, piece).is_ok() {
                end += piece;
            }
        }
        Ok(())
    }

    /// Gives back what [`fill`](Self::fill) took.
    pub(crate) fn free(&self) -> io::Result<()> {
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Loses what was not synced. All calls fail from now on.
    pub(crate) fn cut_power(&self, tool: &Path) -> io::Result<()> {
        run(Command::new(tool).arg(&self.at))
    }

    /// Mounts it anew after its power was cut; its programs must have ended.
    pub(crate) fn power_up(&mut self) -> io::Result<()> {
        self.unmount()?;
        self.mount()?;
        // That this was removed may not have been synced.
        self.free()
    }

    /// An empty one in its place.
    pub(crate) fn wipe(&self) -> io::Result<()> {
        fs::remove_dir_all(self.data_dir())
    }

    fn unmount(&mut self) -> io::Result<()> {
        let since = Instant::now();
        while self.is_mounted {
            match run(Command::new("umount").arg(&self.at)) {
                Ok(()) => self.is_mounted = false,
                Err(error) if since.elapsed() > BUSY => return Err(error),
                // The kernel may still be at it.
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
        Ok(())
    }

    /// Unmounts it, and removes its image.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        self.unmount()?;
        if self.kind == Disks::Ext4 {
            fs::remove_file(&self.image)?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            // Lazily: a thread of a node that was just killed may still hold a file.
            drop(Command::new("umount").arg("-l").arg(&self.at).status());
        }
    }
}
