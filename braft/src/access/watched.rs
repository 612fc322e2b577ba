//! A file of secrets that changes while it is used.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// How often the file is looked at, when somebody asks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The largest file.
const MAX_FILE_BYTES: u64 = 256 << 10;

/// Makes something of a file's text; what was made of it before is there for comparison. An error says
/// what is wrong, and nothing of what is in the file.
type Make<T> = fn(&str, Option<&T>) -> Result<T, String>;

/// What a file says, read again once it changes. While it cannot be used, what was read before goes on.
pub(super) struct Watched<T> {
    path: PathBuf,
    make: Make<T>,
    now: Mutex<Now<T>>,
}

struct Now<T> {
    made: Arc<T>,
    stamp: Stamp,
    looked: Instant,
}

/// What tells that a file has changed; `None` while it cannot be looked at.
type Stamp = Option<(SystemTime, u64)>;

impl<T> Watched<T> {
    pub(super) fn load(path: &Path, make: Make<T>) -> Result<Self, String> {
        let stamp = stamp(path);
        Ok(Watched {
            now: Mutex::new(Now {
                made: Arc::new(read(path, make, None)?),
                stamp,
                looked: Instant::now(),
            }),
            path: path.to_owned(),
            make,
        })
    }

    /// What the file says now.
    pub(super) fn now(&self) -> Arc<T> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked.elapsed() >= LOOK_EVERY {
            now.looked = Instant::now();
            // Before it is read: what changes meanwhile is read the next time.
            let stamp = stamp(&self.path);
            if stamp != now.stamp {
                match read(&self.path, self.make, Some(&*now.made)) {
                    Ok(made) => {
                        now.made = Arc::new(made);
                        tracing::info!(file = %self.path.display(), "tokens were read again");
                    }
                    Err(why) => tracing::warn!(
                        why,
                        "a file of tokens has changed to what cannot be used; what was read before \
                         goes on"
                    ),
                }
                now.stamp = stamp;
            }
        }
        now.made.clone()
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.path).finish()
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// What a file of secrets says. An error names the file.
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    let named = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let mut text = String::new();
    let file = File::open(path).map_err(|error| named(&error))?;
    let bytes = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    let bytes = bytes.map_err(|error| named(&error))?;
    if bytes as u64 > MAX_FILE_BYTES {
        return Err(named(&format!(
            "the file may have {MAX_FILE_BYTES} bytes at most"
        )));
    }
    Ok(text)
}

fn read<T>(path: &Path, make: Make<T>, before: Option<&T>) -> Result<T, String> {
    let text = text_of(path)?;
    make(&text, before).map_err(|why| format!("{}: {why}", path.display()))
}
