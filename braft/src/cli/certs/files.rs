//! The files of certificates: none is ever written over.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// For this user alone: a key, and the directory it is in.
const KEY_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// For all: certificates are shown to whoever asks.
const CERTIFICATE_MODE: u32 = 0o644;
const MAX_NAME_BYTES: usize = 64;
/// How the file of a key differs from that of its certificate.
const KEY: &str = "-key";

/// A certificate and its key.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Pair {
    pub(super) fn of(dir: &Path, name: &str) -> Self {
        Pair {
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}{KEY}.pem")),
        }
    }

    /// Whether one of the two is there.
    pub(super) fn is_there(&self) -> bool {
        // A link that leads nowhere counts too.
        let is = |path: &Path| fs::symlink_metadata(path).is_ok();
        is(&self.certificate) || is(&self.key)
    }

    pub(super) fn must_be_new(&self) -> Result<(), Failure> {
        for path in [&self.certificate, &self.key] {
            if fs::symlink_metadata(path).is_ok() {
                return Err(in_the_way(path));
            }
        }
        Ok(())
    }

    /// What is in them.
    pub(super) fn read(&self) -> Result<(String, String), Failure> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|error| {
                let path = path.display();
                Failure::Refused(format!(
                    "{path} cannot be read: {error}; put it there, or use another --dir"
                ))
            })
        };
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    pub(super) fn write(
        &self,
        certificate: &str,
        key: &str,
        written: &mut Vec<PathBuf>,
    ) -> Result<(), Failure> {
        for (path, text, mode) in [
            (&self.key, key, KEY_MODE),
            (&self.certificate, certificate, CERTIFICATE_MODE),
        ] {
            write_new(path, text, mode).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => in_the_way(path),
                _ => not_written(path, &error),
            })?;
            written.push(path.clone());
        }
        Ok(())
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The directory, made for this user alone if it is not there.
pub(super) fn private_directory(dir: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(dir);
    made.map_err(|error| not_written(dir, &error))
}

fn in_the_way(path: &Path) -> Failure {
    let path = path.display();
    Failure::Refused(format!(
        "{path} is there already and is not written over; choose another name or --dir, or take it away"
    ))
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    Failure::Damaged(format!("{} cannot be written: {error}", path.display()))
}

/// Whether a name can be that of a file, and is none of those that mean something else.
pub(super) fn check_name(name: &str, taken: &[&str]) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_name = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(is_plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !is_name {
        return Err(format!(
            "{name:?} cannot be a name: use letters, digits, dots, dashes and underscores, \
             {MAX_NAME_BYTES} at most, a letter or digit first"
        ));
    }
    if taken.contains(&name) || name.ends_with(KEY) {
        return Err(format!(
            "{name:?} would be mistaken for the file of an authority or a key; choose another name"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path_and_means_nothing_else() {
        for good in ["node-1", "10.0.0.1", "a", "kv_2.example"] {
            check_name(good, &["ca"]).expect(good);
        }
        for bad in [
            "", ".", "../x", "a/b", "-a", "ca", "x-key", "ä", "a b", "::1",
        ] {
            check_name(bad, &["ca"]).expect_err(bad);
        }
    }
}
