//! What snapshot files promise, each promise a test.

use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::storage::fs::DiskFs;
use crate::storage::fs::faults::FaultFs;

const LAST: LogId = LogId { term: 2, index: 70 };

type Content = Vec<(String, Vec<u8>)>;

fn store(dir: &Path) -> SnapshotStore {
    SnapshotStore::open(Arc::new(DiskFs), dir).expect("opens")
}

fn content() -> Content {
    let large = (0..format::CHUNK_BYTES * 2 + 10)
        .map(|at| (at / 7) as u8)
        .collect();
    vec![
        ("clock".into(), b"now".to_vec()),
        ("nothing".into(), Vec::new()),
        ("service kv".into(), large),
    ]
}

fn small_content() -> Content {
    vec![
        ("a".into(), b"content".to_vec()),
        ("b".into(), b"x".to_vec()),
    ]
}

fn build(store: &SnapshotStore, last: LogId, content: &Content) -> SnapshotFile {
    let mut writer = store.create(last, b"meta").expect("creates");
    for (name, bytes) in content {
        let mut section = writer.section(name).expect("begins a section");
        section.write_all(bytes).expect("writes");
    }
    writer.finish().expect("finishes")
}

fn read(file: &SnapshotFile) -> io::Result<Content> {
    let (mut sections, mut content) = (file.sections(), Vec::new());
    while let Some((name, mut reader)) = sections.next_section()? {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        content.push((name, bytes));
    }
    Ok(content)
}

fn names(dir: &Path) -> Vec<String> {
    DiskFs.list(dir).expect("lists")
}

#[test]
fn gives_back_sections_and_meta_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let built = build(&store(dir.path()), LAST, &content());
    let file = store(dir.path()).current().expect("is there");
    assert_eq!(
        (file.last, &file.meta[..], file.bytes),
        (LAST, &b"meta"[..], built.bytes)
    );
    assert_eq!(file.file_id, built.file_id);
    assert_eq!(read(&file).expect("reads"), content());
    file.verify().expect("is whole");
}

#[test]
fn passes_over_sections_nobody_reads() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = build(&store(dir.path()), LAST, &content());
    let mut sections = file.sections();
    let mut seen = Vec::new();
    while let Some((name, _)) = sections.next_section().expect("goes on") {
        seen.push(name);
    }
    assert_eq!(seen, ["clock", "nothing", "service kv"]);
}

#[test]
fn keeps_only_the_newest_and_lets_readers_of_an_older_one_finish() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(dir.path());
    let old = build(&store, LAST, &content());
    let newer = LogId { term: 2, index: 90 };
    let new = build(&store, newer, &small_content());
    assert_eq!(names(dir.path()), [format!("{}.snap", new.file_id)]);
    assert_eq!(read(&old).expect("reads"), content());
    let mut writer = store.create(LAST, b"").expect("creates");
    writer.section("late").expect("begins");
    // One that came in meanwhile is later: nothing has failed, and that one stays.
    let late = writer.finish().expect("is whole");
    assert_eq!((late.last, late.bytes > 0), (LAST, true));
    late.verify().expect("reads");
    let current = store.current().map(|current| current.file_id);
    assert_eq!(current.as_ref(), Some(&new.file_id));
    assert_eq!(names(dir.path()), [format!("{}.snap", new.file_id)]);
}

#[test]
fn opening_removes_what_was_left_unfinished() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = build(&store(dir.path()), LAST, &small_content());
    let older = FileId {
        last: LogId { term: 1, index: 3 },
        random: 1,
    };
    std::fs::write(dir.path().join(older.name(FINISHED)), b"older").expect("writes");
    std::fs::write(dir.path().join(older.name(BUILDING)), b"half").expect("writes");
    let current = store(dir.path()).current().expect("is there");
    assert_eq!(current.file_id, file.file_id);
    assert_eq!(names(dir.path()), [format!("{}.snap", file.file_id)]);
}

#[test]
fn every_flipped_byte_and_every_cut_is_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = build(&store(dir.path()), LAST, &small_content()).path;
    let whole = std::fs::read(&path).expect("reads");
    let flips = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        bytes
    });
    let cuts = (0..whole.len()).map(|end| whole[..end].to_vec());
    let longer = [whole.iter().copied().chain([0]).collect()];
    for bytes in flips.chain(cuts).chain(longer) {
        std::fs::write(&path, &bytes).expect("writes");
        let opened = SnapshotStore::open(Arc::new(DiskFs), dir.path());
        let error = match opened {
            Err(error) => error,
            Ok(store) => {
                let file = store.current().expect("is there");
                read(&file).expect_err("reading finds it");
                file.verify().expect_err("so does checking")
            }
        };
        assert!(
            matches!(error, ReadSnapshotError::Damaged { .. }),
            "{error}"
        );
        assert_eq!(
            std::fs::read(&path).expect("reads"),
            bytes,
            "is left as it was"
        );
    }
}

#[test]
fn tells_a_newer_format_from_damage() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = build(&store(dir.path()), LAST, &small_content()).path;
    let mut bytes = std::fs::read(&path).expect("reads");
    let header = format::HEADER_BYTES + b"meta".len();
    bytes[12] = 9;
    let crc = crc32fast::hash(&bytes[12..header]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).expect("writes");
    let error = SnapshotStore::open(Arc::new(DiskFs), dir.path())
        .err()
        .expect("is refused");
    assert!(error.to_string().contains("has format 9"), "{error}");
}

#[test]
fn receives_a_file_in_pieces_and_goes_on_after_a_restart() {
    let (from, to) = (
        tempfile::tempdir().expect("a"),
        tempfile::tempdir().expect("b"),
    );
    let sent = build(&store(from.path()), LAST, &content());
    let mut pieces = 0;
    let received = loop {
        // A restart after every third piece.
        let store = store(to.path());
        let mut receiver = store.receive(&sent.file_id, sent.bytes).expect("starts");
        for _ in 0..3 {
            let piece = sent.read_at(receiver.offset(), 50_000).expect("reads");
            receiver.write(receiver.offset(), &piece).expect("takes it");
            pieces += 1;
        }
        if receiver.offset() == sent.bytes {
            break receiver.finish().expect("finishes");
        }
    };
    assert_eq!(pieces / 3, sent.bytes.div_ceil(150_000));
    assert_eq!(received.file_id, sent.file_id);
    assert_eq!(read(&received).expect("reads"), content());
    assert_eq!(names(to.path()), names(from.path()));
}

#[test]
fn refuses_a_peers_mistakes_and_starts_over() {
    let (from, to) = (
        tempfile::tempdir().expect("a"),
        tempfile::tempdir().expect("b"),
    );
    let sent = build(&store(from.path()), LAST, &small_content());
    let store = store(to.path());
    for id in [
        "",
        "../x",
        "1-2",
        "1-2-3",
        "1-2-000000000000000A",
        "+1-2-000000000000000a",
    ] {
        let refused = store.receive(id, 10).err().expect("is no id");
        assert!(
            matches!(refused, ReceiveSnapshotError::FileId(_)),
            "{refused}"
        );
    }
    let whole = sent.read_at(0, usize::MAX).expect("reads");
    let mut receiver = store.receive(&sent.file_id, sent.bytes).expect("starts");
    receiver.write(1, &whole).expect_err("leaves a hole");
    receiver.write(0, &whole[..9]).expect("takes it");
    receiver
        .write(9, &whole)
        .expect_err("is more than announced");
    receiver.finish().expect_err("is not whole");

    let mut receiver = store.receive(&sent.file_id, sent.bytes).expect("goes on");
    assert_eq!(receiver.offset(), 9);
    let mut garbled = whole[9..].to_vec();
    garbled[20] ^= 1;
    receiver.write(9, &garbled).expect("takes it");
    let refused = receiver.finish().expect_err("is garbled");
    assert!(
        matches!(refused, ReceiveSnapshotError::Garbled(_)),
        "{refused}"
    );

    let other = FileId {
        last: LAST,
        random: 5,
    }
    .to_string();
    let mut receiver = store.receive(&other, sent.bytes).expect("starts");
    receiver.write(0, &whole).expect("takes it");
    let refused = receiver.finish().expect_err("is another file");
    assert!(
        matches!(refused, ReceiveSnapshotError::OtherFile { .. }),
        "{refused}"
    );

    let mut receiver = store
        .receive(&sent.file_id, sent.bytes)
        .expect("starts over");
    assert_eq!(receiver.offset(), 0);
    receiver.write(0, &whole).expect("takes it");
    assert_eq!(
        read(&receiver.finish().expect("finishes")).expect("reads"),
        small_content()
    );
}

#[test]
fn a_read_that_fails_names_the_file_and_harms_nothing() {
    let (fs, dir) = (FaultFs::new(), Path::new("/node/snapshots"));
    let open = || SnapshotStore::open(Arc::new(fs.clone()), dir);
    let file = build(&open().expect("opens"), LAST, &small_content());
    let named = |text: String| {
        let name = file.path.display().to_string();
        assert!(
            text.contains(&name) && text.contains("injected fault"),
            "{text}"
        );
    };
    let mut failures = 0;
    for after in 0.. {
        fs.fail_read(after, io::ErrorKind::Other);
        let result = match open() {
            Ok(store) => read(&store.current().expect("it is there")),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        match result {
            Ok(content) => {
                // All of it was read before.
                assert!(fs.fault_is_due());
                assert_eq!(content, small_content());
                break;
            }
            Err(error) => named(error.to_string()),
        }
        failures += 1;
    }
    assert!(failures > 4, "{failures}");
    fs.fail_read(0, io::ErrorKind::Other);
    named(file.read_at(0, 8).expect_err("is not read").to_string());
    assert_eq!(read(&file).expect("reads"), small_content());
}
