//! Files as a disk may give them back.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};

use bytes::Bytes;

use crate::storage::fs::faults::FaultFs;
use crate::storage::fs::{Fs, Mode};
use crate::storage::snapshot::{SnapshotFile, SnapshotStore, with_right_sums};
use crate::storage::wal::{LogEntry, LogId, Vote, Wal, WalOptions};

const DIR: &str = "/data";
const SEGMENT_BYTES: u64 = 16 << 10;
/// Pieces in which a file comes from a peer.
const PIECE_BYTES: usize = 1_000;
/// What a snapshot says of itself, apart from its sections.
const META: &[u8] = b"meta";

fn options() -> WalOptions {
    WalOptions {
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: 2 << 10,
        reserve_bytes: 0,
        inline: true,
        ..WalOptions::default()
    }
}

fn opened(fs: &FaultFs) -> Option<Wal> {
    Wal::open(Arc::new(fs.clone()), Path::new(DIR), options()).ok()
}

/// A log of a few entries in one segment; each that is made has an id of its own, so it is made once.
fn log() -> &'static FaultFs {
    static LOG: OnceLock<FaultFs> = OnceLock::new();
    LOG.get_or_init(new_log)
}

fn new_log() -> FaultFs {
    let fs = FaultFs::new();
    let wal = opened(&fs).expect("an empty directory is a log");
    let (sender, receiver) = mpsc::channel();
    let vote = Vote {
        term: 2,
        voted_for: Some(7),
        committed: true,
    };
    let told = sender.clone();
    wal.save_vote(vote, Box::new(move |result| drop(told.send(result))));
    for index in 0..12 {
        let entry = LogEntry {
            id: LogId { term: 2, index },
            kind: 1,
            payload: Bytes::from(vec![index as u8; 20 * index as usize]),
        };
        let told = sender.clone();
        let appended = wal.append(vec![entry], Box::new(move |result| drop(told.send(result))));
        appended.expect("there is room");
    }
    for _ in 0..13 {
        let written = receiver.recv().expect("the log answers");
        written.expect("the disk is sound");
    }
    wal.close();
    fs
}

fn segment() -> String {
    format!("{DIR}/{:016}.wal", 1)
}

pub(super) fn segments() -> Vec<Vec<u8>> {
    let content = log().content(Path::new(&segment()));
    vec![content.expect("a log has a first segment")]
}

pub(super) fn votes() -> Vec<Vec<u8>> {
    let content = log().content(&Path::new(DIR).join("vote"));
    vec![content.expect("a log has a vote")]
}

/// Opens the log with one file in another form.
fn read_log(name: &str, bytes: &[u8]) -> bool {
    let fs = FaultFs::new();
    fs.restore(&log().image());
    fs.change(Path::new(name), |content| *content = bytes.to_vec());
    let Some(wal) = opened(&fs) else {
        return false;
    };
    let first = wal.state().last_purged.map_or(0, |purged| purged.index + 1);
    wal.read(first..u64::MAX, u64::MAX).is_ok()
}

pub(super) fn read_segment(bytes: &[u8]) -> bool {
    read_log(&segment(), bytes)
}

pub(super) fn read_vote(bytes: &[u8]) -> bool {
    read_log(&format!("{DIR}/vote"), bytes)
}

fn store(fs: &FaultFs) -> SnapshotStore {
    SnapshotStore::open(Arc::new(fs.clone()), Path::new(DIR)).expect("it is empty")
}

/// A snapshot of two sections, and its id, which no other one has.
fn snapshot() -> &'static (String, Vec<u8>) {
    static SNAPSHOT: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    SNAPSHOT.get_or_init(new_snapshot)
}

fn new_snapshot() -> (String, Vec<u8>) {
    let fs = FaultFs::new();
    let last = LogId { term: 2, index: 7 };
    let mut writer = store(&fs).create(last, META).expect("there is room");
    for (name, content) in [("clock", &[1; 9][..]), ("service kv", &[7; 3_000])] {
        let mut section = writer.section(name).expect("there is room");
        section.write_all(content).expect("there is room");
    }
    let file = writer.finish().expect("there is room");
    let names = fs.list(Path::new(DIR)).expect("it exists");
    let content = fs.content(&Path::new(DIR).join(&names[0]));
    (file.file_id, content.expect("it was listed"))
}

pub(super) fn snapshots() -> Vec<Vec<u8>> {
    vec![snapshot().1.clone()]
}

pub(super) fn read_snapshot(bytes: &[u8]) -> bool {
    let (fs, path) = (FaultFs::new(), Path::new("/snap"));
    let file = fs.open(path, Mode::OpenOrCreate).expect("a new file");
    file.write_all_at(bytes, 0).expect("there is room");
    let Ok(file) = SnapshotFile::open(&fs, path) else {
        return false;
    };
    let mut sections = file.sections();
    loop {
        match sections.next_section() {
            Ok(Some((_, mut section))) => {
                if section.read_to_end(&mut Vec::new()).is_err() {
                    return false;
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// The same, of a peer that means harm: its sums are right.
pub(super) fn read_summed_snapshot(bytes: &[u8]) -> bool {
    read_snapshot(&with_right_sums(bytes))
}

/// Comes in pieces, under the id of a sound one.
pub(super) fn receive_snapshot(bytes: &[u8]) -> bool {
    let fs = FaultFs::new();
    let Ok(mut receiver) = store(&fs).receive(&snapshot().0, bytes.len() as u64) else {
        return false;
    };
    for piece in bytes.chunks(PIECE_BYTES) {
        if receiver.write(receiver.offset(), piece).is_err() {
            return false;
        }
    }
    receiver.finish().is_ok()
}
