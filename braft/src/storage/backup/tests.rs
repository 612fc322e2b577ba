use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::storage::fs::DiskFs;
use crate::storage::snapshot::{SnapshotFile, SnapshotStore};
use crate::storage::wal::LogId;

fn snapshot(dir: &Path) -> SnapshotFile {
    let store = SnapshotStore::open(Arc::new(DiskFs), dir).expect("opened");
    let mut writer = store
        .create(LogId { term: 2, index: 9 }, b"meta")
        .expect("created");
    for (name, content) in [("sessions", &b"none"[..]), ("service/A", b"state")] {
        let mut section = writer.section(name).expect("begun");
        section.write_all(content).expect("written");
    }
    writer.finish().expect("finished")
}

fn written(dir: &Path) -> Vec<u8> {
    let snapshot = snapshot(dir);
    let description = Description {
        cluster_id: "7".repeat(32),
        cluster_name: "test".to_owned(),
        node_id: "1".repeat(16),
        written_by: "0.1.0".to_owned(),
        term: 2,
        index: 9,
        taken_at_ms: 5,
        log_time_ms: 4,
        versions: BTreeMap::from([("A".to_owned(), 1)]),
        parts: Part::all_of(&snapshot).expect("whole"),
        snapshot_bytes: snapshot.bytes,
    };
    let mut backup = Backup::new(snapshot, &description).expect("begun");
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next_piece().expect("read") {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len() as u64, backup.total_bytes());
    bytes
}

fn verified(dir: &Path, bytes: &[u8]) -> Result<Description, ReadBackupError> {
    let path = dir.join("backup");
    std::fs::write(&path, bytes).expect("written");
    let file = BackupFile::open(&DiskFs, &path)?;
    file.verify(&mut |_| {})?;
    Ok(file.description)
}

#[test]
fn what_was_written_is_read_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = written(dir.path());
    let description = verified(dir.path(), &bytes).expect("whole");
    let names: Vec<_> = description.parts.iter().map(|part| &*part.name).collect();
    assert_eq!(names, ["sessions", "service/A"]);
}

#[test]
fn a_flipped_bit_of_any_byte_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let whole = written(dir.path());
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        verified(dir.path(), &bytes).expect_err("it was accepted");
    }
}

#[test]
fn a_file_of_any_other_length_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let whole = written(dir.path());
    for length in 0..whole.len() {
        verified(dir.path(), &whole[..length]).expect_err("it was accepted");
    }
    let longer = [&whole[..], b"x"].concat();
    verified(dir.path(), &longer).expect_err("it was accepted");
}
