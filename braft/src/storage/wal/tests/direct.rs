//! Logs whose files take direct writes: the last block is written again with each batch.

use super::*;
use crate::storage::fs::faults::Step;

fn direct_disk() -> FaultFs {
    let fs = FaultFs::new();
    fs.take_direct_writes(true);
    fs
}

/// Segments of this length.
fn long(segment_bytes: u64) -> WalOptions {
    WalOptions {
        segment_bytes,
        ..inline()
    }
}

#[test]
fn a_block_that_is_torn_when_it_is_written_again_loses_nothing_acknowledged() {
    let mut cut = 0;
    for seed in 1..400 {
        let fs = direct_disk();
        let wal = open(&fs, long(64 << 10)).expect("opens");
        // Several of them in one block, and now and then one that reaches into the next.
        let mut entries: Vec<LogEntry> = Vec::new();
        for index in 0..seed % 40 {
            entries.push(entry(1, index, 150));
            append(&wal, &entries[index as usize..]).expect("is durable");
        }
        let step = [Step::Write, Step::Sync][seed as usize % 2];
        fs.crash_at((step, "log"), 0, seed * 0x9e37_79b9, || ());
        let torn = entry(1, seed % 40, 1500);
        append(&wal, std::slice::from_ref(&torn)).expect_err("the power is cut");
        drop(wal);
        let wal = open(&fs, long(64 << 10)).expect("opens after a crash");
        let found = all(&wal);
        assert_eq!(found[..entries.len()], entries, "seed {seed}");
        assert!(found[entries.len()..].iter().all(|last| *last == torn));
        cut += u64::from(found.len() == entries.len());
        // What was cut must not come back once the log has grown over it.
        let next = entry(2, found.len() as u64, 10);
        append(&wal, std::slice::from_ref(&next)).expect("goes on");
        fs.crash(0);
        drop(wal);
        let after = all(&open(&fs, long(64 << 10)).expect("opens again"));
        assert_eq!((after.len(), &after[found.len()]), (found.len() + 1, &next));
    }
    assert!((100..399).contains(&cut), "{cut}");
}

#[test]
fn batches_of_every_length_follow_each_other() {
    // What a record of no payload takes, so that batches end at, before and behind a block's end.
    const FRAME: usize = 48 + 28;
    const BLOCK: usize = 4096;
    let lengths = [
        10,
        BLOCK - FRAME - 128 - FRAME - 10,
        BLOCK - FRAME,
        BLOCK - FRAME - 1,
        2,
        3 * BLOCK,
        (64 << 10) - FRAME,
        (64 << 10) - FRAME + 1,
        100,
        (64 << 10) + BLOCK,
        300 << 10,
        1,
        BLOCK - FRAME,
        2 * BLOCK,
    ];
    // The last of them are too long to be written directly.
    let fs = direct_disk();
    let mut wal = open(&fs, long(1 << 20)).expect("opens");
    let mut entries = Vec::new();
    for (index, bytes) in lengths.into_iter().cycle().take(60).enumerate() {
        entries.push(entry(1, index as u64, bytes));
        append(&wal, &entries[index..]).expect("is durable");
        if index % 5 == 4 {
            fs.crash(0);
            wal = open(&fs, long(1 << 20)).expect("opens");
        }
        assert!(all(&wal) == entries, "after {index}");
    }
}

#[test]
fn a_log_is_the_same_whichever_way_it_was_written() {
    let fs = FaultFs::new();
    let mut entries = Vec::new();
    for round in 0..12_u64 {
        fs.take_direct_writes(round % 2 == 0);
        let wal = open(&fs, inline()).expect("opens");
        assert_eq!(all(&wal), entries);
        for _ in 0..10 {
            let index = entries.len();
            entries.push(entry(round, index as u64, 200));
            append(&wal, &entries[index..]).expect("is durable");
        }
        if round % 3 == 0 {
            fs.crash(round);
        }
    }
}

#[test]
fn a_segment_that_is_not_made_of_whole_blocks_is_written_the_other_way() {
    let odd = || long(MIN_SEGMENT_BYTES + 512);
    let fs = direct_disk();
    let wal = open(&fs, odd()).expect("opens");
    let entries: Vec<LogEntry> = (0..200).map(|index| entry(1, index, 100)).collect();
    for at in 0..entries.len() {
        append(&wal, &entries[at..=at]).expect("is durable");
    }
    fs.crash(0);
    assert_eq!(all(&open(&fs, odd()).expect("opens")), entries);
}

#[test]
fn an_entry_takes_one_sync() {
    let fs = direct_disk();
    let wal = open(&fs, inline()).expect("opens");
    append(&wal, &[entry(1, 0, 8)]).expect("is durable");
    let syncs = fs.syncs();
    append(&wal, &[entry(1, 1, 8)]).expect("is durable");
    assert_eq!(fs.syncs(), syncs + 1);
    fs.crash(0);
    drop(wal);
    assert_eq!(all(&open(&fs, inline()).expect("opens")).len(), 2);
}

#[test]
fn a_disk_that_refuses_the_first_direct_write_is_written_the_other_way() {
    let fs = direct_disk();
    let wal = open(&fs, inline()).expect("opens");
    append(&wal, &[entry(1, 0, 8)]).expect("is durable");
    drop(wal);
    fs.fail_write(0, io::ErrorKind::InvalidInput);
    let wal = open(&fs, inline()).expect("opens all the same");
    assert!(!fs.fault_is_due());
    append(&wal, &[entry(1, 1, 8)]).expect("is durable");
    fs.crash(0);
    drop(wal);
    assert_eq!(all(&open(&fs, inline()).expect("opens")).len(), 2);
}
