//! A log of more than 64 KiB, damaged at every byte.

use std::path::PathBuf;
use std::thread;

use super::segment::Reader;
use super::segment::Segment;
use super::segment::SegmentHeader;
use super::*;
use crate::storage::fs::Mode;
use crate::storage::fs::faults::Image;

const VOTE: Vote = Vote {
    term: 3,
    voted_for: Some(8),
    committed: true,
};

fn log_options() -> WalOptions {
    WalOptions {
        segment_bytes: 16 << 10,
        ..inline()
    }
}

/// The disk of a log with some of everything, and the entries that should be on it. Its last
/// batches hold one entry each. Without `stop` it is left as a crash would leave it.
fn log(fs: &FaultFs, stop: bool) -> (Image, Vec<LogEntry>) {
    let wal = open(fs, log_options()).expect("opens");
    for at in 0..20 {
        let two = [entry(1, 2 * at, 600), entry(1, 2 * at + 1, 0)];
        append(&wal, &two).expect("is durable");
    }
    purge(&wal, id(1, 10)).expect("is durable");
    truncate(&wal, Some(34)).expect("is durable");
    answer(|done| wal.save_vote(VOTE, done)).expect("is durable");
    for at in 35..130 {
        append(&wal, &[entry(3, at, 500 + at as usize)]).expect("is durable");
    }
    let entries = all(&wal);
    assert_eq!(entries.len(), 130 - 11);
    assert!(wal.stats().bytes > 64 << 10);
    if !stop {
        return (fs.image(), entries);
    }
    wal.close();
    (fs.image(), entries)
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Where the batches of a segment end.
fn batch_ends(fs: &FaultFs, name: &str) -> Vec<u64> {
    let file = fs.open(&path(name), Mode::Read).expect("opens");
    let bytes = file.read_all(1 << 20).expect("reads");
    let header = SegmentHeader::decode(&bytes).ok().expect("is whole");
    let segment = Segment::new(header, Path::new(DIR), file);
    let (mut reader, mut ends) = (Reader::new(&segment), vec![128]);
    while let Ok(batch) = reader.batch(ends[ends.len() - 1]) {
        ends.push(ends[ends.len() - 1] + batch.header.total_bytes());
    }
    ends
}

/// Opens the damaged log; then brings the disk back to what it was.
fn opened(fs: &FaultFs, image: &Image) -> Result<(Vec<LogEntry>, Option<Vote>), OpenWalError> {
    let wal = open(fs, log_options())?;
    let found = (all(&wal), wal.read_vote());
    drop(wal);
    fs.restore(image);
    Ok(found)
}

fn flip_every_byte(stop: bool, half: usize) {
    let fs = FaultFs::new();
    let (image, entries) = log(&fs, stop);
    fs.restore(&image);
    let may_lose = usize::from(!stop);
    let mut refused = 0;
    let mut names = segment_files(&fs);
    if stop {
        // A clean stop changes nothing but the last segment.
        names.drain(..names.len() - 1);
    }
    names.push("vote".into());
    for name in names {
        let path = path(&name);
        let bytes = fs.content(&path).expect("exists").len();
        for at in (half..bytes).step_by(2) {
            let mask = 1 << (at / 2 % 8);
            fs.change(&path, |content| content[at] ^= mask);
            match opened(&fs, &image) {
                Ok((found, vote)) => {
                    let kept = found.len();
                    assert!(entries.starts_with(&found), "{name} {at}");
                    assert!(
                        kept + may_lose >= entries.len(),
                        "{name} {at}: {kept} entries"
                    );
                    assert_eq!(vote, Some(VOTE), "{name} {at}");
                }
                Err(OpenWalError::Damaged { file, offset, .. }) => {
                    assert_eq!(file, path, "byte {at}");
                    assert!(offset <= at as u64, "{name} {at}: {offset}");
                    refused += 1;
                    let content = fs.content(&path).expect("exists");
                    fs.change(&path, |content| content[at] ^= mask);
                    let whole = fs.content(&path).expect("exists");
                    assert_eq!(content[at] ^ mask, whole[at], "is left as it was");
                }
                Err(error) => panic!("{name} {at}: {error}"),
            }
        }
    }
    assert!(refused > if stop { 2000 } else { 30_000 }, "{refused}");
}

#[test]
fn every_flipped_byte_is_refused_or_above_the_synced_mark() {
    thread::scope(|scope| {
        scope.spawn(|| flip_every_byte(false, 0));
        scope.spawn(|| flip_every_byte(false, 1));
    });
}

#[test]
fn every_flipped_byte_is_refused_or_harmless_after_a_clean_stop() {
    thread::scope(|scope| {
        scope.spawn(|| flip_every_byte(true, 0));
        scope.spawn(|| flip_every_byte(true, 1));
    });
}

#[test]
fn every_shortened_file_is_refused_with_its_end() {
    let fs = FaultFs::new();
    let (image, _) = log(&fs, false);
    fs.restore(&image);
    for name in segment_files(&fs) {
        let path = path(&name);
        let whole = fs.content(&path).expect("exists");
        for end in (0..whole.len()).rev() {
            fs.change(&path, |content| content.truncate(end));
            match opened(&fs, &image) {
                Err(OpenWalError::Damaged { file, offset, .. }) => {
                    assert_eq!(file, path);
                    assert!(offset == end as u64 || offset == 0 && end < 128, "{offset}");
                    assert_eq!(fs.content(&path).expect("exists").len(), end);
                }
                other => panic!("{name} {end}: {other:?}"),
            }
        }
        fs.change(&path, |content| *content = whole);
    }
}

#[test]
fn what_a_crash_left_of_the_last_segment_is_cut_at_every_byte() {
    let fs = FaultFs::new();
    let (image, entries) = log(&fs, false);
    fs.restore(&image);
    let name = segment_files(&fs).pop().expect("there is one");
    let ends = batch_ends(&fs, &name);
    let before = entries.len() - (ends.len() - 1);
    for from in 128..ends[ends.len() - 1] + 1 {
        let path = path(&name);
        fs.change(&path, |content| content[from as usize..].fill(0));
        let (found, vote) = opened(&fs, &image).expect("is cut");
        let whole = ends.iter().filter(|end| **end <= from).count() - 1;
        assert!(entries.starts_with(&found), "{from}");
        // The batch that was cut may have ended with zeros anyway.
        let batches = found.len() - before;
        assert!(
            batches == whole || batches == whole + 1,
            "{from}: {batches} of {whole}"
        );
        assert_eq!(vote, Some(VOTE));
    }
}

#[test]
fn zeros_in_an_earlier_segment_are_refused() {
    let fs = FaultFs::new();
    let (image, entries) = log(&fs, false);
    fs.restore(&image);
    let name = &segment_files(&fs)[1];
    let end = batch_ends(&fs, name).pop().expect("there are batches");
    let whole = fs.content(&path(name)).expect("exists");
    for from in 0..end as usize {
        fs.change(&path(name), |content| content[from..].fill(0));
        let changed = whole[from..].iter().any(|byte| *byte != 0);
        match opened(&fs, &image) {
            Err(OpenWalError::Damaged { file, .. }) => {
                assert!(changed && file == path(name), "{from}");
            }
            Ok((found, _)) => assert!(!changed && found == entries, "{from}"),
            Err(error) => panic!("{from}: {error}"),
        }
        fs.change(&path(name), |content| content.copy_from_slice(&whole));
    }
}

#[test]
fn every_lost_file_is_noticed() {
    let fs = FaultFs::new();
    let (image, _) = log(&fs, false);
    fs.restore(&image);
    let names = segment_files(&fs);
    let count = names.len();
    for (at, name) in [names, vec!["vote".into()]].concat().iter().enumerate() {
        fs.remove(&path(name)).expect("removes");
        let error = opened(&fs, &image).expect_err("is noticed");
        assert!(matches!(error, OpenWalError::Missing { .. }), "{error}");
        // A lost segment in the middle is told by the one after it.
        assert!(at == count || error.to_string().contains(".wal"), "{error}");
        assert!(error.to_string().contains(name), "{name}: {error}");
        fs.restore(&image);
    }
    for name in segment_files(&fs) {
        fs.remove(&path(&name)).expect("removes");
    }
    let error = opened(&fs, &image).expect_err("is noticed");
    assert!(error.to_string().contains("has voted"), "{error}");
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let fs = FaultFs::new();
    let (image, _) = log(&fs, false);
    fs.restore(&image);
    let newest = segment_files(&fs).pop().expect("there is one");
    fs.change(&path(&newest), |content| {
        content[12] = 9;
        let crc = crc32fast::hash(&content[12..128]);
        content[8..12].copy_from_slice(&crc.to_le_bytes());
    });
    let error = opened(&fs, &image).expect_err("is refused");
    assert!(error.to_string().contains("has format 9"), "{error}");
}

#[test]
fn segments_of_another_log_are_refused() {
    let (fs, other) = (FaultFs::new(), FaultFs::new());
    let (image, _) = log(&fs, false);
    log(&other, false);
    fs.restore(&image);
    for name in [
        segment_files(&fs).pop().expect("there is one"),
        "vote".into(),
    ] {
        let foreign = other.content(&path(&name)).expect("exists");
        fs.change(&path(&name), |content| *content = foreign);
        let error = opened(&fs, &image).expect_err("is refused");
        assert!(
            error.to_string().contains("belongs to another log"),
            "{error}"
        );
        fs.restore(&image);
    }
}
