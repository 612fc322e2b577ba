//! What the log promises, each promise a test.

mod basic;
mod damage;
mod direct;
mod faults;
mod here;
mod model;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::storage::fs::faults::FaultFs;

const DIR: &str = "/log";

fn id(term: u64, index: u64) -> LogId {
    LogId { term, index }
}

/// An entry whose payload tells it from all others of its index.
fn entry(term: u64, index: u64, bytes: usize) -> LogEntry {
    let text = format!("{term}-{index} ");
    let payload = text.bytes().cycle().take(bytes).collect::<Vec<u8>>();
    LogEntry {
        id: id(term, index),
        kind: (index % 3) as u8,
        payload: Bytes::from(payload),
    }
}

fn options() -> WalOptions {
    WalOptions {
        segment_bytes: MIN_SEGMENT_BYTES,
        cache_bytes: 2048,
        reserve_bytes: 0,
        ..WalOptions::default()
    }
}

fn inline() -> WalOptions {
    WalOptions {
        inline: true,
        ..options()
    }
}

fn open(fs: &FaultFs, options: WalOptions) -> Result<Wal, OpenWalError> {
    Wal::open(Arc::new(fs.clone()), Path::new(DIR), options)
}

/// Runs an operation and waits for its answer.
fn answer(run: impl FnOnce(Done)) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    run(Box::new(move |result| drop(sender.send(result))));
    receiver
        .recv_timeout(Duration::from_secs(60))
        .expect("is answered")
}

/// Appends and waits until it is durable.
fn append(wal: &Wal, entries: &[LogEntry]) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    wal.append(
        entries.to_vec(),
        Box::new(move |result| drop(sender.send(result))),
    )?;
    receiver
        .recv_timeout(Duration::from_secs(60))
        .expect("is answered")
}

fn truncate(wal: &Wal, last: Option<u64>) -> io::Result<()> {
    answer(|done| wal.truncate_after(last, done).expect("is accepted"))
}

fn purge(wal: &Wal, upto: LogId) -> io::Result<()> {
    answer(|done| wal.purge(upto, done).expect("is accepted"))
}

fn all(wal: &Wal) -> Vec<LogEntry> {
    let first = wal.state().last_purged.map_or(0, |purged| purged.index + 1);
    wal.read(first..u64::MAX, u64::MAX).expect("reads")
}

fn segment_files(fs: &FaultFs) -> Vec<String> {
    let names = fs.list(Path::new(DIR)).expect("lists");
    names
        .into_iter()
        .filter(|name| name.ends_with(".wal"))
        .collect()
}
