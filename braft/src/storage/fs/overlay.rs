//! A file system that reads from the disk and keeps in memory whatever is written.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DirectFile, DiskFs, Fs, FsFile, Mode};

/// The disk as it is, for somebody who wants to write: nothing reaches it.
#[derive(Clone, Default)]
pub(crate) struct OverlayFs {
    /// What is not as on the disk; nothing for a file that was removed.
    files: Arc<Mutex<BTreeMap<PathBuf, Option<Arc<OverlayFile>>>>>,
}

/// A file that is read from the disk until it is written to.
#[derive(Default)]
struct OverlayFile {
    disk: Option<Arc<dyn FsFile>>,
    memory: Mutex<Option<Vec<u8>>>,
}

type Files<'a> = MutexGuard<'a, BTreeMap<PathBuf, Option<Arc<OverlayFile>>>>;

impl OverlayFs {
    fn files(&self) -> Files<'_> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of this name, if there is one.
    fn find(files: &mut Files<'_>, path: &Path) -> io::Result<Option<Arc<OverlayFile>>> {
        if let Some(found) = files.get(path) {
            return Ok(found.clone());
        }
        if !DiskFs.exists(path)? {
            return Ok(None);
        }
        let file = Arc::new(OverlayFile {
            disk: Some(DiskFs.open(path, Mode::Read)?),
            memory: Mutex::default(),
        });
        files.insert(path.to_path_buf(), Some(file.clone()));
        Ok(Some(file))
    }
}

fn not_found(path: &Path) -> io::Error {
    let text = format!("{}: there is no such file", path.display());
    io::Error::new(io::ErrorKind::NotFound, text)
}

impl Fs for OverlayFs {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        let mut files = self.files();
        let found = Self::find(&mut files, path)?;
        let file = match (mode, found) {
            (Mode::Read | Mode::Write | Mode::OpenOrCreate, Some(file)) => file,
            (Mode::Read | Mode::Write, None) => return Err(not_found(path)),
            (Mode::Create, _) | (Mode::OpenOrCreate, None) => {
                let file = Arc::new(OverlayFile {
                    disk: None,
                    memory: Mutex::new(Some(Vec::new())),
                });
                files.insert(path.to_path_buf(), Some(file.clone()));
                file
            }
        };
        Ok(file)
    }

    fn open_direct(&self, _: &Path) -> io::Result<Option<Arc<dyn DirectFile>>> {
        Ok(None)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files();
        let file = Self::find(&mut files, from)?.ok_or_else(|| not_found(from))?;
        files.insert(from.to_path_buf(), None);
        files.insert(to.to_path_buf(), Some(file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut files = self.files();
        Self::find(&mut files, path)?.ok_or_else(|| not_found(path))?;
        files.insert(path.to_path_buf(), None);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = match DiskFs.list(dir) {
            Ok(names) => names,
            // It may have been made here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for (path, file) in &*self.files() {
            let name = path.file_name().and_then(|name| name.to_str());
            let (Some(name), true) = (name, path.parent() == Some(dir)) else {
                continue;
            };
            names.retain(|other| other != name);
            if file.is_some() {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(Self::find(&mut self.files(), path)?.is_some())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl OverlayFile {
    /// Changes the content, which is read from the disk first.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let content = match &mut *memory {
            Some(content) => content,
            none => none.insert(match &self.disk {
                Some(disk) => disk.read_all(u64::MAX)?,
                None => Vec::new(),
            }),
        };
        Ok(change(content))
    }

    fn look<T>(
        &self,
        in_memory: impl FnOnce(&[u8]) -> T,
        on_disk: impl FnOnce(&dyn FsFile) -> io::Result<T>,
    ) -> io::Result<T> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*memory, &self.disk) {
            (None, Some(disk)) => on_disk(&**disk),
            (content, _) => Ok(in_memory(content.as_deref().unwrap_or_default())),
        }
    }
}

impl FsFile for OverlayFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        // Both borrow the buffer, and only one of them uses it.
        let buf = std::cell::RefCell::new(buf);
        self.look(
            |content| {
                let rest = content.get(at..).unwrap_or_default();
                let mut buf = buf.borrow_mut();
                let read = rest.len().min(buf.len());
                buf[..read].copy_from_slice(&rest[..read]);
                read
            },
            |disk| disk.read_at(&mut buf.borrow_mut(), offset),
        )
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(|content| {
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[at..end].copy_from_slice(bytes);
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        self.change(|content| content.resize(bytes, 0))
    }

    fn bytes(&self) -> io::Result<u64> {
        self.look(|content| content.len() as u64, |disk| disk.bytes())
    }

    /// Locks the file on the disk, if there is one: whoever writes there is at work.
    fn try_lock(&self) -> io::Result<bool> {
        match &self.disk {
            Some(disk) => disk.try_lock(),
            None => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(fs: &dyn Fs, path: &Path) -> Vec<u8> {
        let file = fs.open(path, Mode::Read).expect("a file");
        file.read_all(1 << 20).expect("readable")
    }

    #[test]
    fn whatever_is_done_is_seen_and_the_disk_stays_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name));
        std::fs::write(&a, b"first").expect("written");
        std::fs::write(&b, b"second").expect("written");
        let fs = OverlayFs::default();
        let file = fs.open(&a, Mode::Write).expect("opened");
        file.write_all_at(b"F", 0).expect("written");
        file.write_all_at(b"!", 6).expect("written");
        assert_eq!(content(&fs, &a), b"First\0!");
        fs.rename(&a, &c).expect("renamed");
        fs.remove(&b).expect("removed");
        let new = fs.open(&a, Mode::Create).expect("created");
        new.set_len(2).expect("grown");
        assert_eq!(fs.list(dir.path()).expect("listed"), ["a", "c"]);
        assert_eq!(
            (content(&fs, &a), content(&fs, &c)),
            (vec![0; 2], b"First\0!".to_vec())
        );
        assert!(fs.open(&b, Mode::Write).is_err() && !fs.exists(&b).expect("asked"));

        assert_eq!(std::fs::read(&a).expect("there"), b"first");
        assert_eq!(std::fs::read(&b).expect("there"), b"second");
        assert!(!c.exists());
    }

    #[test]
    fn a_lock_that_somebody_holds_is_seen() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("LOCK");
        let held = DiskFs.open(&path, Mode::OpenOrCreate).expect("opened");
        assert!(held.try_lock().expect("locked"));
        let seen = OverlayFs::default().open(&path, Mode::OpenOrCreate);
        assert!(!seen.expect("opened").try_lock().expect("asked"));
    }
}
