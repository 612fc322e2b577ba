//! Appends that see to the disk in the thread that calls.

use std::thread;

use super::*;

/// Waits until a condition holds that another thread brings about.
fn until(holds: impl Fn() -> bool) {
    while !holds() {
        thread::yield_now();
    }
}

/// A log whose thread sleeps for good, on a disk that was quick lately.
fn resting(fs: &FaultFs) -> Wal {
    let wal = open(fs, options()).expect("opens");
    until(|| wal.is_resting());
    wal.log.shared.lock().pace.note(Duration::ZERO);
    wal
}

/// Appends here; says in which thread it was answered and how, if it was by then.
fn append_here(wal: &Wal, entry: LogEntry) -> Option<(thread::ThreadId, io::Result<()>)> {
    let (sender, receiver) = mpsc::channel();
    let done = move |result| drop(sender.send((thread::current().id(), result)));
    wal.append_here(vec![entry], Box::new(done))
        .expect("is accepted");
    receiver.try_recv().ok()
}

#[test]
fn a_lone_append_is_durable_when_it_returns() {
    let fs = FaultFs::new();
    let wal = resting(&fs);
    let syncs = fs.syncs();
    let (thread, result) = append_here(&wal, entry(1, 0, 8)).expect("is answered");
    result.expect("is durable");
    assert_eq!(thread, thread::current().id());
    assert_eq!(fs.syncs(), syncs + 1);
    fs.crash(0);
    drop(wal);
    assert_eq!(all(&open(&fs, options()).expect("opens")), [entry(1, 0, 8)]);
}

#[test]
fn the_logs_thread_marks_what_others_wrote() {
    let fs = FaultFs::new();
    let wal = resting(&fs);
    let (_, result) = append_here(&wal, entry(1, 0, 8)).expect("is answered");
    result.expect("is durable");
    let shared = &wal.log.shared;
    let written = shared.lock().stats.bytes;
    until(|| !shared.lock().unmarked);
    until(|| shared.lock().stats.bytes > written);
}

#[test]
fn a_mark_that_cannot_be_written_stops_the_log_and_is_told() {
    let fs = FaultFs::new();
    let wal = resting(&fs);
    let shared = &wal.log.shared;
    until(|| matches!(shared.lock().spare, Spare::Ready(_)));
    let failed = wal.watch_failed();
    fs.fail_write(1, io::ErrorKind::Other);
    let (_, result) = append_here(&wal, entry(1, 0, 8)).expect("is answered");
    result.expect("is durable");
    until(|| failed.borrow().is_some());
    assert!(wal.failed().is_some());
}

#[test]
fn a_slow_disk_is_left_to_the_logs_thread() {
    let fs = FaultFs::new();
    let wal = resting(&fs);
    wal.log.shared.lock().pace.note(Duration::from_secs(1));
    fs.hold_syncs(true);
    assert!(append_here(&wal, entry(1, 0, 8)).is_none(), "does not wait");
    fs.wait_for_held_sync();
    fs.hold_syncs(false);
    append(&wal, &[entry(1, 1, 8)]).expect("follows");
}

#[test]
fn an_append_behind_others_does_not_wait_for_them() {
    let fs = FaultFs::new();
    let wal = resting(&fs);
    let (sender, receiver) = mpsc::channel();
    let vote = Vote {
        term: 1,
        voted_for: Some(1),
        committed: true,
    };
    let says = |what| {
        let sender = sender.clone();
        Box::new(move |_| sender.send(what).expect("the test waits"))
    };
    fs.hold_syncs(true);
    wal.save_vote(vote, says("vote"));
    fs.wait_for_held_sync();
    wal.append_here(vec![entry(1, 0, 8)], says("entry"))
        .expect("is accepted");
    wal.truncate_after(None, says("truncation"))
        .expect("is accepted");
    assert!(receiver.try_recv().is_err(), "nothing is acknowledged yet");
    fs.hold_syncs(false);
    let order: Vec<_> = (0..3)
        .map(|_| receiver.recv().expect("is answered"))
        .collect();
    assert_eq!(order, ["vote", "entry", "truncation"]);
}

#[test]
fn a_segment_that_is_full_is_left_to_the_logs_thread() {
    let fs = FaultFs::new();
    let wal = resting(&fs);
    let room = wal.log.shared.lock().room as usize;
    append(&wal, &[entry(1, 0, room - 300)]).expect("is durable");
    until(|| wal.is_resting());
    fs.hold_syncs(true);
    assert!(
        append_here(&wal, entry(1, 1, 400)).is_none(),
        "does not wait"
    );
    fs.hold_syncs(false);
    append(&wal, &[entry(1, 2, 8)]).expect("follows");
    assert_eq!(segment_files(&fs).len(), 2);
}

#[test]
fn a_failure_here_stops_the_log_and_its_thread() {
    type Fail = fn(&FaultFs);
    let fails: [Fail; 2] = [
        |fs| fs.fail_sync(0, io::ErrorKind::Other),
        |fs| fs.fail_write(0, io::ErrorKind::StorageFull),
    ];
    for fail in fails {
        let fs = FaultFs::new();
        let wal = resting(&fs);
        // The spare segment is made meanwhile, or it might run into the fault.
        until(|| matches!(wal.log.shared.lock().spare, Spare::Ready(_)));
        fail(&fs);
        let (_, result) = append_here(&wal, entry(1, 0, 8)).expect("is answered");
        let error = result.expect_err("fails");
        assert!(error.to_string().contains("injected"), "{error}");
        let syncs = fs.syncs();
        wal.append_here(vec![entry(1, 1, 8)], Box::new(drop))
            .expect_err("is refused");
        until(|| wal.log.shared.lock().stopped);
        drop(wal);
        assert_eq!(fs.syncs(), syncs, "nothing was tried again");
    }
}

#[test]
fn a_panicking_callback_stops_the_log_and_not_the_caller() {
    let fs = FaultFs::new();
    let wal = resting(&fs);
    let done = |_| panic!("on purpose, by a test");
    wal.append_here(vec![entry(1, 0, 8)], Box::new(done))
        .expect("is accepted");
    let failure = wal.failed().expect("has failed").to_string();
    assert!(failure.contains("panicked"), "{failure}");
    append(&wal, &[entry(1, 1, 8)]).expect_err("is refused");
}

#[test]
fn answers_come_in_order_whoever_writes() {
    let fs = FaultFs::new();
    let wal = open(&fs, options()).expect("opens");
    let answered: Arc<Mutex<Vec<u64>>> = Arc::default();
    let votes = thread::spawn({
        let wal = wal.clone();
        move || {
            for term in 1..200 {
                let vote = Vote {
                    term,
                    voted_for: Some(term),
                    committed: false,
                };
                answer(|done| wal.save_vote(vote, done)).expect("is durable");
            }
        }
    });
    for index in 0..1000 {
        let answered = answered.clone();
        let done = move |result: io::Result<()>| {
            result.expect("is durable");
            answered.lock().expect("nobody panics").push(index);
        };
        let append = [Wal::append, Wal::append_here][(index % 3 != 0) as usize];
        append(&wal, vec![entry(1, index, 20)], Box::new(done)).expect("is accepted");
    }
    votes.join().expect("the votes are saved");
    append(&wal, &[entry(1, 1000, 8)]).expect("is durable");
    let answered = answered.lock().expect("nobody panics");
    assert!(answered.iter().copied().eq(0..1000), "{answered:?}");
    assert_eq!(all(&wal).len(), 1001);
    drop(wal);
    assert_eq!(all(&open(&fs, options()).expect("opens")).len(), 1001);
}
