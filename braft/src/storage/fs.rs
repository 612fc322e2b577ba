//! The seam to the file system: small enough to be played by memory in tests and simulation.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

mod direct;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod faults;
mod overlay;

pub(crate) use direct::{Blocks, DirectFile, is_refusal};
pub(crate) use overlay::OverlayFs;

/// How [`Fs::open`] treats a file that is or is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// The file must exist; it will only be read.
    Read,
    /// The file must exist; it will be read and written in place.
    Write,
    /// The file is created, or emptied if it exists.
    Create,
    /// The file is created if it is missing and kept as it is otherwise.
    OpenOrCreate,
}

/// A file system.
///
/// # Correctness
/// A name that was created, renamed or removed survives a crash only after [`Fs::sync_dir`] on
/// its directory; bytes only after [`FsFile::sync_data`] or [`FsFile::sync_all`]. `rename` is
/// atomic and replaces what the new name stood for. A full disk is reported as
/// [`io::ErrorKind::StorageFull`].
pub(crate) trait Fs: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>>;
    /// Opens a file that is there for direct writes; nothing if it takes none.
    fn open_direct(&self, path: &Path) -> io::Result<Option<Arc<dyn DirectFile>>>;
    /// Renames a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a directory, sorted; directories are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a directory and its parents, durably.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes a directory's names durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Whether there is a file of this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Bytes this process may still allocate below this directory.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file.
pub(crate) trait FsFile: Send + Sync {
    /// Reads at most `buf.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes, growing the file where needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the bytes durable, and of the metadata what reading them back needs.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes bytes and metadata durable.
    fn sync_all(&self) -> io::Result<()>;
    /// Cuts the file, or grows it by a hole.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// The file's length.
    fn bytes(&self) -> io::Result<u64>;
    /// Locks the file for this open handle until it is dropped; false if another holds it.
    fn try_lock(&self) -> io::Result<bool>;
}

impl dyn FsFile + '_ {
    /// Fills `buf` from `offset` on as far as the file goes, and says how far that was.
    pub(crate) fn read_up_to(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// The whole file, refused when it is longer than `limit`.
    pub(crate) fn read_all(&self, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self.bytes()?;
        if bytes > limit {
            let message = format!("{bytes} bytes long, at most {limit} are expected");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut buf = vec![0; bytes as usize];
        let read = self.read_up_to(&mut buf, 0)?;
        buf.truncate(read);
        Ok(buf)
    }
}

/// Writes a whole small file so that a crash leaves either the old or the new one.
pub(crate) fn replace_file(fs: &dyn Fs, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    let file = fs.open(&temporary, Mode::Create)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    fs.rename(&temporary, &dir.join(name))?;
    fs.sync_dir(dir)
}

/// The machine's file system.
#[derive(Clone, Copy, Default)]
pub(crate) struct DiskFs;

struct DiskFile(fs::File);

impl Fs for DiskFs {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            Mode::Read => {}
            Mode::Write => _ = options.write(true),
            Mode::Create => _ = options.write(true).create(true).truncate(true),
            Mode::OpenOrCreate => _ = options.write(true).create(true).truncate(false),
        }
        let file = options.open(path).map_err(|error| named(path, error))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn open_direct(&self, path: &Path) -> io::Result<Option<Arc<dyn DirectFile>>> {
        direct::open(path).map_err(|error| named(path, error))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(|error| named(from, error))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path).map_err(|error| named(path, error))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(|error| named(dir, error))? {
            let entry = entry?;
            if !entry.file_type()?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at = Some(dir);
        while let Some(path) = at
            && !path.as_os_str().is_empty()
            && !path.exists()
        {
            missing.push(path.to_path_buf());
            at = path.parent();
        }
        fs::create_dir_all(dir).map_err(|error| named(dir, error))?;
        for path in missing {
            if let Some(parent) = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                self.sync_dir(parent)?;
            }
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let file = fs::File::open(dir).map_err(|error| named(dir, error))?;
        file.sync_all().map_err(|error| named(dir, error))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists().map_err(|error| named(path, error))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir).map_err(|error| named(dir, error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl FsFile for DiskFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The same kind of error with the path in its text, which the operating system leaves out.
pub(crate) fn named(path: &Path, error: io::Error) -> io::Error {
    struct Named(PathBuf, io::Error);
    impl fmt::Debug for Named {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Display::fmt(self, f)
        }
    }
    impl fmt::Display for Named {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}: {}", self.0.display(), self.1)
        }
    }
    impl std::error::Error for Named {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.1)
        }
    }
    io::Error::new(error.kind(), Named(path.to_path_buf(), error))
}
