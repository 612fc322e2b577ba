//! A small file system of a test's own.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use braft::testing::TestResult;
use tempfile::TempDir;

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const DISK_BYTES: usize = 32 * MIB;

/// A file system in memory, unmounted when this is dropped.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    pub(crate) fn mount() -> TestResult<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "tmpfs"])
            .arg(directory.path())
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        Ok(mounted.then_some(SmallDisk(directory)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes space until `bytes` cannot be had any more.
    pub(crate) fn fill(&self, leave: usize) -> TestResult {
        let ballast = self.path().join("ballast");
        let spare = self.path().join("spare");
        std::fs::write(&spare, vec![1; leave])?;
        let mut file = File::create(ballast)?;
        let piece = vec![1; 64 << 10];
        while file.write_all(&piece).is_ok() {}
        drop(file);
        Ok(std::fs::remove_file(spare)?)
    }

    /// Gives back what [`fill`](Self::fill) took.
    pub(crate) fn free(&self) -> TestResult {
        Ok(std::fs::remove_file(self.path().join("ballast"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a thread of a node that has just stopped may still hold a file.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}
