//! What one write cannot be quicker than: a sync of the disk, and two round trips over loopback, from
//! client to leader and from leader to follower.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::micros;

/// How often each is done.
const TIMES: usize = 1000;
/// What is written to the disk and sent, as large as a value.
const BYTES: usize = 256;

/// Medians, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Floor {
    /// `pwrite` of a value to a file that is there, and `fdatasync`.
    pub(crate) sync_us: f64,
    /// A value sent over loopback to another thread, and back.
    pub(crate) round_trip_us: f64,
}

impl Floor {
    /// What a replicated write takes at least.
    pub(crate) fn write_us(&self) -> f64 {
        self.sync_us + 2.0 * self.round_trip_us
    }
}

/// Measures both.
///
/// # Errors
/// Of the disk or of loopback.
pub(crate) fn measure(below: &Path) -> io::Result<Floor> {
    Ok(Floor {
        sync_us: median(sync(below)?),
        round_trip_us: median(round_trips()?),
    })
}

fn sync(below: &Path) -> io::Result<Vec<Duration>> {
    let file: File = tempfile::tempfile_in(below)?;
    // As a log does: blocks that are there, so that a sync writes nothing but data.
    file.write_all_at(&[0; BYTES * TIMES], 0)?;
    file.sync_all()?;
    let each = (0..TIMES).map(|time| {
        let began = Instant::now();
        file.write_all_at(&[1; BYTES], (time * BYTES) as u64)?;
        file.sync_data()?;
        Ok(began.elapsed())
    });
    each.collect()
}

fn round_trips() -> io::Result<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    client.set_nodelay(true)?;
    let (mut server, _) = listener.accept()?;
    server.set_nodelay(true)?;
    let echo = std::thread::spawn(move || {
        let mut bytes = [0; BYTES];
        // Until the client is gone.
        while server.read_exact(&mut bytes).is_ok() && server.write_all(&bytes).is_ok() {}
    });
    let mut bytes = [1; BYTES];
    let each = (0..TIMES).map(|_| {
        let began = Instant::now();
        client.write_all(&bytes)?;
        client.read_exact(&mut bytes)?;
        Ok(began.elapsed())
    });
    let each = each.collect();
    drop(client);
    drop(echo.join());
    each
}

fn median(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all.get(all.len() / 2).copied().map_or(0.0, micros)
}
