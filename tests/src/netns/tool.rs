//! Runs `ip` and `bridge`; whether namespaces can be made here.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where `ip netns` keeps the namespaces it has made.
pub(super) const NAMESPACES: &str = "/run/netns";
const PREFIX: &str = "braft";

/// Runs a tool with arguments that are separated by blanks.
pub(super) fn run(tool: &str, arguments: &str) -> io::Result<()> {
    let output = Command::new(tool)
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| io::Error::other(format!("{tool} cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "{tool} {arguments}: {}",
        words.trim()
    )))
}

/// Why namespaces cannot be made here; `None` if they can. A test that needs them prints it and
/// ends:
///
/// ```no_run
/// if let Some(why) = tests::netns::why_not() {
///     return println!("skipped: {why}");
/// }
/// ```
pub fn why_not() -> Option<&'static str> {
    static TRIED: OnceLock<Option<String>> = OnceLock::new();
    let tried = TRIED.get_or_init(|| {
        remove_leftovers();
        let name = fresh_name();
        let made = run("ip", &format!("netns add {name}"))
            .and_then(|()| run("ip", &format!("netns del {name}")))
            .and_then(|()| run("bridge", "-V"));
        let error = made.err()?;
        Some(format!(
            "network namespaces cannot be made here ({error}); run as root, with iproute2"
        ))
    });
    tried.as_deref()
}

/// A name that no namespace has: by process, and in a process by turn.
pub(super) fn fresh_name() -> String {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}-{}-{turn}", std::process::id())
}

/// Removes namespaces of test processes that were killed.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut parts = name.split('-');
        let ours = parts.next() == Some(PREFIX);
        let Some(pid) = parts.next().filter(|_| ours) else {
            continue;
        };
        if !Path::new("/proc").join(pid).exists() {
            // Another test may be at it as well.
            drop(run("ip", &format!("netns del {name}")));
        }
    }
}
