//! On a real disk, with threads.

use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;

use crate::storage::fs::DiskFs;
use crate::storage::wal::*;

fn entry(term: u64, index: u64) -> LogEntry {
    LogEntry {
        id: LogId { term, index },
        kind: 1,
        payload: Bytes::from(format!("{term}-{index}").repeat(20)),
    }
}

fn options() -> WalOptions {
    WalOptions {
        segment_bytes: MIN_SEGMENT_BYTES,
        cache_bytes: 4096,
        reserve_bytes: 0,
        ..WalOptions::default()
    }
}

fn open(dir: &std::path::Path) -> Wal {
    Wal::open(Arc::new(DiskFs), dir, options()).expect("opens")
}

/// Runs an operation and waits until it is durable.
fn durably(run: impl FnOnce(Done)) {
    let (sender, receiver) = mpsc::channel();
    run(Box::new(move |result| {
        sender.send(result).expect("the test waits")
    }));
    receiver.recv().expect("is answered").expect("succeeds");
}

#[test]
fn gives_back_after_reopening_what_was_appended() {
    let dir = tempfile::tempdir().expect("a directory");
    let all: Vec<LogEntry> = (0..500)
        .map(|index| entry(index / 100 + 1, index))
        .collect();
    let vote = Vote {
        term: 5,
        voted_for: Some(3),
        committed: true,
    };
    {
        let wal = open(dir.path());
        for chunk in all.chunks(7) {
            durably(|done| wal.append(chunk.to_vec(), done).expect("is accepted"));
        }
        durably(|done| wal.save_vote(vote, done));
        wal.save_committed(Some(all[400].id));
        assert_eq!(wal.read(0..1000, u64::MAX).expect("reads"), all);
        assert!(wal.stats().segments > 5);
    }
    let wal = open(dir.path());
    assert_eq!(wal.read(0..1000, u64::MAX).expect("reads"), all);
    assert_eq!(wal.read(137..139, u64::MAX).expect("reads"), all[137..139]);
    assert_eq!(wal.read(137..400, 1).expect("reads"), all[137..138]);
    assert_eq!(wal.read_vote(), Some(vote));
    assert_eq!(wal.committed(), Some(all[400].id));
    assert_eq!(wal.term_at(250).expect("reads"), Some(3));
    assert_eq!(wal.term_at(500).expect("reads"), None);
}
