//! The log at work, with its threads.

use super::*;
use crate::storage::fs::DiskFs;

#[test]
fn gives_back_after_reopening_what_was_appended() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Wal::open(Arc::new(DiskFs), dir.path(), options()).expect("opens");
    let entries: Vec<LogEntry> = (0..500).map(|at| entry(at / 100 + 1, at, 80)).collect();
    let vote = Vote {
        term: 5,
        voted_for: Some(3),
        committed: true,
    };
    {
        let wal = open();
        for chunk in entries.chunks(7) {
            append(&wal, chunk).expect("is durable");
        }
        answer(|done| wal.save_vote(vote, done)).expect("is durable");
        wal.save_committed(Some(entries[400].id));
        assert_eq!(all(&wal), entries);
        assert!(wal.stats().segments > 5);
    }
    let wal = open();
    assert_eq!(all(&wal), entries);
    assert_eq!(
        wal.read(137..139, u64::MAX).expect("reads"),
        entries[137..139]
    );
    assert_eq!(wal.read(137..400, 1).expect("reads"), entries[137..138]);
    assert_eq!(wal.read(137..400, 160).expect("reads"), entries[137..139]);
    assert_eq!(wal.read(500..600, 160).expect("reads"), []);
    assert_eq!(wal.read_vote(), Some(vote));
    assert_eq!(wal.committed(), Some(entries[400].id));
    assert_eq!(wal.term_at(250).expect("reads"), Some(3));
    assert_eq!(wal.term_at(500).expect("reads"), None);
    assert!(!wal.disk_low().expect("asks the disk"));
}

#[test]
fn refuses_a_hole_and_an_older_term() {
    let fs = FaultFs::new();
    let wal = open(&fs, inline()).expect("opens");
    append(&wal, &[entry(2, 7, 1)]).expect("a new log starts anywhere");
    for refused in [entry(2, 9, 1), entry(2, 7, 1), entry(1, 8, 1)] {
        let error = append(&wal, &[refused]).expect_err("is refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    let error = append(&wal, &[entry(2, 8, MIN_SEGMENT_BYTES as usize)]).expect_err("is too long");
    assert!(error.to_string().contains("too long"), "{error}");
    append(&wal, &[entry(3, 8, 1)]).expect("follows");
    assert_eq!(wal.state().last, Some(id(3, 8)));
}

#[test]
fn forgets_what_was_truncated_for_good() {
    let fs = FaultFs::new();
    let old: Vec<LogEntry> = (0..300).map(|at| entry(1, at, 60)).collect();
    let new: Vec<LogEntry> = (150..200).map(|at| entry(2, at, 60)).collect();
    let expected = [&old[..150], &new].concat();
    {
        let wal = open(&fs, options()).expect("opens");
        append(&wal, &old).expect("is durable");
        // Readers see it before the disk does.
        wal.truncate_after(Some(149), Box::new(drop))
            .expect("is accepted");
        assert_eq!(all(&wal), old[..150]);
        append(&wal, &new).expect("is durable");
        assert_eq!(all(&wal), expected);
        assert_eq!(wal.term_at(149).expect("reads"), Some(1));
        assert_eq!(wal.term_at(150).expect("reads"), Some(2));
    }
    let wal = open(&fs, options()).expect("opens");
    assert_eq!(all(&wal), expected);
    truncate(&wal, None).expect("is durable");
    assert_eq!(wal.state(), WalState::default());
    drop(wal);
    assert_eq!(all(&open(&fs, options()).expect("opens")), []);
}

#[test]
fn a_purge_removes_whole_segments_and_survives_reopening() {
    let fs = FaultFs::new();
    let entries: Vec<LogEntry> = (0..300).map(|at| entry(1, at, 60)).collect();
    let wal = open(&fs, inline()).expect("opens");
    append(&wal, &entries).expect("is durable");
    let before = segment_files(&fs);
    let announced = wal.bytes_upto(200);
    purge(&wal, id(1, 200)).expect("is durable");
    let after = segment_files(&fs);
    assert!(after.len() < before.len() && before.ends_with(&after));
    let freed = before.len() - after.len();
    assert_eq!(announced, freed as u64 * inline().segment_bytes);
    assert_eq!(wal.bytes_upto(200), 0);
    drop(wal);

    let wal = open(&fs, inline()).expect("opens");
    assert_eq!(wal.state().last_purged, Some(id(1, 200)));
    assert_eq!(all(&wal), entries[201..]);
    assert_eq!(wal.read(200..210, u64::MAX).expect("reads"), []);
    assert_eq!(wal.term_at(200).expect("reads"), Some(1));
    assert_eq!(wal.term_at(199).expect("reads"), None);
    wal.truncate_after(Some(100), Box::new(drop))
        .expect_err("is purged");
    purge(&wal, id(1, 100)).expect("has happened already");
    assert_eq!(wal.state().last_purged, Some(id(1, 200)));
}

#[test]
fn goes_on_behind_an_installed_snapshot() {
    let fs = FaultFs::new();
    let wal = open(&fs, inline()).expect("opens");
    append(
        &wal,
        &(0..300).map(|at| entry(1, at, 60)).collect::<Vec<_>>(),
    )
    .expect("is durable");
    purge(&wal, id(4, 1000)).expect("is durable");
    assert_eq!(segment_files(&fs).len(), 1);
    let state = WalState {
        last_purged: Some(id(4, 1000)),
        last: Some(id(4, 1000)),
    };
    assert_eq!(wal.state(), state);
    append(&wal, &[entry(4, 300, 1)]).expect_err("leaves a hole");
    append(&wal, &[entry(4, 1001, 1)]).expect("follows");
    drop(wal);
    let wal = open(&fs, inline()).expect("opens");
    assert_eq!(wal.state().last_purged, Some(id(4, 1000)));
    assert_eq!(all(&wal), [entry(4, 1001, 1)]);
    assert_eq!(wal.committed(), Some(id(4, 1000)));
}

#[test]
fn a_commit_index_ahead_of_the_log_is_not_believed() {
    let fs = FaultFs::new();
    let wal = open(&fs, inline()).expect("opens");
    wal.save_committed(Some(id(2, 5)));
    append(&wal, &[entry(1, 0, 1)]).expect("is durable");
    drop(wal);
    assert_eq!(open(&fs, inline()).expect("opens").committed(), None);
}

#[test]
fn a_closed_log_refuses_and_can_still_be_read() {
    let fs = FaultFs::new();
    let wal = open(&fs, options()).expect("opens");
    append(&wal, &[entry(1, 0, 1)]).expect("is durable");
    wal.close();
    wal.append(vec![entry(1, 1, 1)], Box::new(drop))
        .expect_err("is closed");
    let vote = Vote {
        term: 1,
        voted_for: None,
        committed: false,
    };
    answer(|done| wal.save_vote(vote, done)).expect_err("is closed");
    assert_eq!(all(&wal), [entry(1, 0, 1)]);
}

#[test]
fn a_callback_may_drop_the_last_handle() {
    let fs = FaultFs::new();
    let wal = open(&fs, options()).expect("opens");
    let (sender, receiver) = mpsc::channel();
    let last = wal.clone();
    let (go, gone) = mpsc::channel::<()>();
    let done = move |result| {
        gone.recv().expect("the test goes on");
        drop(last);
        drop(sender.send(result));
    };
    wal.append(vec![entry(1, 0, 1)], Box::new(done))
        .expect("is accepted");
    drop(wal);
    go.send(()).expect("the writer waits");
    receiver.recv().expect("is answered").expect("is durable");
}
