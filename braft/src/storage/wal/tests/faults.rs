//! Disks that fail, fill up or lose power.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::*;

fn vote(term: u64) -> Vote {
    Vote {
        term,
        voted_for: Some(term),
        committed: false,
    }
}

#[test]
fn what_queues_up_during_a_sync_shares_the_next_one() {
    let fs = FaultFs::new();
    let wal = open(&fs, options()).expect("opens");
    let (sender, receiver) = mpsc::channel();
    let mut append_one = |index| {
        let sender = sender.clone();
        let done = move |result| drop(sender.send(result));
        wal.append(vec![entry(1, index, 8)], Box::new(done))
            .expect("is accepted");
    };
    fs.hold_syncs(true);
    append_one(0);
    fs.wait_for_held_sync();
    (1..50).for_each(&mut append_one);
    assert_eq!(all(&wal).len(), 50, "can be read before they are durable");
    assert!(receiver.try_recv().is_err(), "nothing is acknowledged yet");
    fs.hold_syncs(false);
    for _ in 0..50 {
        receiver.recv().expect("is answered").expect("is durable");
    }
    let stats = wal.stats();
    assert!(stats.batches <= 2 && stats.fsyncs <= 2, "{stats:?}");
    assert_eq!((stats.entries, stats.queue_depth), (50, 0));
}

#[test]
fn the_first_failure_stops_the_log_for_good() {
    type Fail = fn(&FaultFs);
    let fails: [Fail; 2] = [
        |fs| fs.fail_sync(0, io::ErrorKind::Other),
        |fs| fs.fail_write(0, io::ErrorKind::StorageFull),
    ];
    for fail in fails {
        let fs = FaultFs::new();
        let wal = open(&fs, inline()).expect("opens");
        append(&wal, &[entry(1, 0, 8)]).expect("is durable");
        fail(&fs);
        let error = append(&wal, &[entry(1, 1, 8)]).expect_err("fails");
        assert!(error.to_string().contains("injected"), "{error}");
        // Nothing injected is left: what follows fails because of the first failure.
        let syncs = fs.syncs();
        let again = append(&wal, &[entry(1, 2, 8)]).expect_err("is refused");
        assert_eq!(
            (again.kind(), again.to_string()),
            (error.kind(), error.to_string())
        );
        answer(|done| wal.save_vote(vote(1), done)).expect_err("is refused");
        wal.truncate_after(None, Box::new(drop))
            .expect_err("is refused");
        wal.purge(id(1, 0), Box::new(drop)).expect_err("is refused");
        assert!(
            wal.failed()
                .expect("has failed")
                .to_string()
                .contains("injected")
        );
        drop(wal);
        assert_eq!(fs.syncs(), syncs, "nothing was tried again");
    }
}

#[test]
fn a_read_that_fails_names_its_file_and_does_no_harm() {
    let fs = FaultFs::new();
    let wal = open(&fs, inline()).expect("opens");
    for index in 0..50 {
        append(&wal, &[entry(1, index, 64)]).expect("is durable");
    }
    drop(wal);
    // What was written before is not in memory.
    let wal = open(&fs, inline()).expect("opens again");
    fs.fail_read(0, io::ErrorKind::Other);
    let error = wal.read(0..50, u64::MAX).expect_err("is not read");
    let text = error.to_string();
    assert!(text.contains(".wal: injected fault"), "{text}");
    assert!(!fs.fault_is_due() && wal.failed().is_none());
    assert_eq!(all(&wal).len(), 50);
    append(&wal, &[entry(1, 50, 64)]).expect("goes on");
}

#[test]
fn a_log_that_cannot_be_read_does_not_open_names_the_file_and_changes_nothing() {
    let fs = FaultFs::new();
    let wal = open(&fs, inline()).expect("opens");
    for index in 0..50 {
        append(&wal, &[entry(1, index, 64)]).expect("is durable");
    }
    answer(|done| wal.save_vote(vote(3), done)).expect("is durable");
    drop(wal);
    let before = fs.image();
    let files = || {
        let names = fs.list(Path::new(DIR)).expect("listed");
        let content = |name: &String| fs.content(&Path::new(DIR).join(name));
        names.iter().map(content).collect::<Vec<_>>()
    };
    let contents = files();
    for after in 0.. {
        fs.restore(&before);
        fs.fail_read(after, io::ErrorKind::Other);
        let text = match open(&fs, inline()) {
            Err(error) => error.to_string(),
            Ok(wal) => {
                // It has read all that it needs.
                assert!(fs.fault_is_due() && after > 3, "{after}");
                fs.heal();
                assert_eq!(all(&wal).len(), 50);
                break;
            }
        };
        let files_named = [".wal: injected fault", "vote: injected fault"];
        assert!(
            files_named.iter().any(|named| text.contains(named)),
            "{text}"
        );
        assert_eq!(files(), contents, "{text}");
        fs.restore(&before);
        assert_eq!(all(&open(&fs, inline()).expect("opens then")).len(), 50);
    }
}

#[test]
fn all_that_wait_hear_of_a_failure() {
    let fs = FaultFs::new();
    let wal = open(&fs, options()).expect("opens");
    let (sender, receiver) = mpsc::channel();
    fs.hold_syncs(true);
    for index in 0..20 {
        let sender = sender.clone();
        let done = move |result: io::Result<()>| drop(sender.send(result));
        wal.append(vec![entry(1, index, 8)], Box::new(done))
            .expect("is accepted");
    }
    // The file is gone under the writer.
    fs.crash(0);
    for _ in 0..20 {
        receiver
            .recv()
            .expect("is answered")
            .expect_err("has failed");
    }
    append(&wal, &[entry(1, 20, 8)]).expect_err("is refused");
}

#[test]
fn a_panicking_callback_does_not_leave_others_waiting() {
    let fs = FaultFs::new();
    let wal = open(&fs, options()).expect("opens");
    let done = |_| panic!("on purpose, by a test");
    wal.append(vec![entry(1, 0, 8)], Box::new(done))
        .expect("is accepted");
    let mut index = 1;
    while append_or_closed(&wal, index) {
        index += 1;
    }
    assert!(
        wal.failed()
            .expect("has failed")
            .to_string()
            .contains("panicked")
    );
}

/// False once the log refuses.
fn append_or_closed(wal: &Wal, index: u64) -> bool {
    let (sender, receiver) = mpsc::channel();
    let done = move |result: io::Result<()>| drop(sender.send(result));
    let accepted = wal.append(vec![entry(1, index, 8)], Box::new(done));
    accepted.is_ok() && receiver.recv().is_ok_and(|result| result.is_ok())
}

#[test]
fn a_full_disk_refuses_entries_and_takes_votes_and_purges() {
    for options in [inline(), options()] {
        let fs = FaultFs::new();
        let wal = open(&fs, options).expect("opens");
        fs.set_capacity(Some(5 * MIN_SEGMENT_BYTES));
        let mut next = 0;
        let error = loop {
            match append(&wal, &[entry(1, next, 200)]) {
                Ok(()) => next += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(wal.failed(), None);
        assert!(wal.disk_low().expect("asks the disk"));
        assert_eq!(
            all(&wal).len() as u64,
            next,
            "nothing of the refused entry is there"
        );
        assert!(next > 80, "{next}");

        answer(|done| wal.save_vote(vote(2), done)).expect("needs no space");
        purge(&wal, id(1, next - 10)).expect("needs no space");
        let freed = next;
        for _ in 0..20 {
            append(&wal, &[entry(2, next, 200)]).expect("there is space again");
            next += 1;
        }
        truncate(&wal, Some(freed)).expect("is durable");
        drop(wal);
        let wal = open(&fs, inline()).expect("opens on the full disk");
        assert_eq!(wal.state().last, Some(id(2, freed)));
        assert_eq!(wal.read_vote(), Some(vote(2)));
    }
}

/// What a log must hold after a crash: the state before the operation that failed, or any on
/// the way to the one after it.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    entries: Vec<LogEntry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
}

impl Model {
    fn of(wal: &Wal) -> Self {
        Self {
            entries: all(wal),
            purged: wal.state().last_purged,
            vote: wal.read_vote(),
        }
    }
}

/// One step of a fixed programme in which everything occurs, rotations included.
fn step(wal: &Wal, number: u64) -> io::Result<()> {
    let next = wal.state().last.map_or(0, |last| last.index + 1);
    match number % 10 {
        3 => answer(|done| wal.save_vote(vote(number), done)),
        6 if next > 12 => answer(|done| match wal.truncate_after(Some(next - 4), done) {
            Ok(()) => {}
            Err(error) => panic!("{error}"),
        }),
        9 if next > 40 => {
            let index = next - 30;
            match wal.term_at(index)? {
                Some(term) => answer(|done| wal.purge(id(term, index), done).expect("accepted")),
                None => Ok(()),
            }
        }
        _ => {
            let entries: Vec<LogEntry> = (next..next + 1 + number % 5)
                .map(|at| entry(number, at, 150))
                .collect();
            append(wal, &entries)
        }
    }
}

/// The model after a step, on a disk without faults.
fn models(steps: u64) -> Vec<Model> {
    let fs = FaultFs::new();
    let wal = open(&fs, inline()).expect("opens");
    let mut models = vec![Model::of(&wal)];
    for number in 0..steps {
        step(&wal, number).expect("succeeds");
        models.push(Model::of(&wal));
    }
    models
}

fn fits(found: &Model, before: &Model, after: &Model) -> bool {
    let between = after.entries.starts_with(&found.entries)
        && found.entries.starts_with(&before.entries)
        && found.purged == after.purged;
    let votes = found.vote == before.vote || found.vote == after.vote;
    votes
        && (found.entries == before.entries && found.purged == before.purged
            || found.entries == after.entries && found.purged == after.purged
            || between)
}

#[test]
fn a_crash_at_any_write_or_sync_loses_nothing_acknowledged() {
    const STEPS: u64 = 60;
    let models = models(STEPS);
    let mut crashes = 0;
    for (seed, failing_sync) in [(0, true), (0, false), (77, true), (4242, false), (9, true)] {
        for after in 0.. {
            let fs = FaultFs::new();
            let wal = open(&fs, inline()).expect("opens");
            if failing_sync {
                fs.fail_sync(after, io::ErrorKind::Other);
            } else {
                fs.fail_write(after, io::ErrorKind::Other);
            }
            let failed = (0..STEPS).find(|number| step(&wal, *number).is_err());
            let Some(failed) = failed else {
                if fs.fault_is_due() {
                    break;
                }
                // It hit the spare segment, which was then made at the second attempt.
                continue;
            };
            fs.crash(seed * (after + 1));
            drop(wal);
            let (before, next) = (&models[failed as usize], &models[failed as usize + 1]);
            let wal = open(&fs, inline()).expect("opens after a crash");
            let found = Model::of(&wal);
            assert!(
                fits(&found, before, next),
                "{after} {failed}: {found:#?}\n{before:#?}"
            );

            // What was cut must not come back once the log has grown over it.
            for number in 100..110 {
                step(&wal, number).expect("goes on");
            }
            let expected = Model::of(&wal);
            fs.crash(0);
            drop(wal);
            assert_eq!(
                Model::of(&open(&fs, inline()).expect("opens again")),
                expected
            );
            crashes += 1;
        }
    }
    assert!(crashes > 300, "{crashes}");
}

#[test]
fn a_power_cut_during_a_sync_loses_nothing_acknowledged() {
    // One segment takes all of it: while syncs are held no other could be made.
    let options = || WalOptions {
        segment_bytes: 1 << 16,
        ..options()
    };
    for seed in 1..60 {
        let fs = FaultFs::new();
        let mut entries: Vec<LogEntry> = Vec::new();
        for round in 0..3 {
            let wal = open(&fs, options()).expect("opens");
            let found = all(&wal);
            assert!(
                found.len() >= entries.len(),
                "an acknowledged entry is lost"
            );
            assert_eq!(found[..entries.len()], entries);
            let acknowledged = Arc::new(AtomicU64::new(found.len() as u64));
            let mut issued = found;
            for at in 0..40 {
                if at == seed % 30 {
                    fs.hold_syncs(true);
                }
                let next = entry(round + 1, issued.len() as u64, 100);
                issued.push(next.clone());
                let (count, acknowledged) = (issued.len() as u64, Arc::clone(&acknowledged));
                let done = move |result: io::Result<()>| {
                    if result.is_ok() {
                        acknowledged.store(count, Ordering::SeqCst);
                    }
                };
                wal.append(vec![next], Box::new(done)).expect("is accepted");
            }
            fs.wait_for_held_sync();
            fs.crash(seed * 31 + round);
            drop(wal);
            issued.truncate(acknowledged.load(Ordering::SeqCst) as usize);
            entries = issued;
        }
    }
}
