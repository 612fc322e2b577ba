//! What has been logged on this thread.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::subscriber::{DefaultGuard, set_default};
use tracing_subscriber::fmt::MakeWriter;

/// Lines logged while this lives, by tasks of the test's own runtime, which has one thread.
pub(crate) struct Log {
    bytes: Bytes,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn capture() -> Self {
        Self::capture_of("info")
    }

    /// The same for the lines of a filter, as `RUST_LOG` has them.
    pub(crate) fn capture_of(filter: &str) -> Self {
        let bytes = Bytes::default();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(bytes.clone())
            .finish();
        Self {
            bytes,
            _guard: set_default(subscriber),
        }
    }

    /// The lines that contain a text.
    pub(crate) fn lines(&self, part: &str) -> Vec<String> {
        let bytes = self.bytes.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().filter(|line| line.contains(part));
        lines.map(str::to_owned).collect()
    }
}

impl MakeWriter<'_> for Bytes {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
