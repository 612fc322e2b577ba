//! A data directory made from a backup: the first node of a new cluster.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::alone::{self, KeepSessions, NewLog, TERM_GAP};
use super::{Progress, disk, failed};
use crate::codec;
use crate::error::Error;
use crate::machine::{Comparison, RemovedNodes, SESSIONS_SECTION, SnapshotHeader};
use crate::member::StoredMembers;
use crate::storage::backup::{BackupFile, Description, Part};
use crate::storage::fs::{DiskFs, Fs};
use crate::storage::node_dir::{self, Identity, Unfinished};
use crate::storage::wal::LogId;

/// By how many places the log of a new cluster begins behind the backup. The old cluster may have gone
/// on: subscribers have seen events at its later positions, and must not pass over those of the new
/// one.
const INDEX_GAP: u64 = 1 << 32;
/// What may lie in a directory that is empty all the same.
const NO_DATA: [&str; 2] = [node_dir::LOCK, "lost+found"];

/// What was made of a backup.
#[derive(Clone, Debug)]
pub(crate) struct Restored {
    pub(crate) identity: Identity,
    pub(crate) backup: Description,
    /// Where log time goes on, since 1970.
    pub(crate) clock: Duration,
}

/// Fills an empty directory from a backup. `progress` is told of the bytes of the backup twice: they
/// are checked first.
pub(crate) fn restore(
    backup: &BackupFile,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<Restored, Error> {
    backup.verify(progress).map_err(failed)?;
    let fs = DiskFs;
    fs.create_dir_all(dir).map_err(|error| disk(dir, &error))?;
    let _lock = node_dir::lock(&fs, dir).map_err(failed)?;
    match Unfinished::read(&fs, dir).map_err(failed)? {
        None => refuse_data(dir)?,
        Some(Unfinished::Restore) => clear(dir).map_err(|error| disk(dir, &error))?,
        Some(Unfinished::Recover { .. }) => {
            return Err(Error::rejected(format!(
                "a recovery of {0} was begun and not finished; run `braft recover --data-dir {0}` \
                 again, or give the restore another directory",
                dir.display()
            )));
        }
    }
    let begun = Unfinished::Restore.write(&fs, dir);
    begun.map_err(|error| disk(dir, &error))?;
    let (identity, clock) = fill(backup, dir, progress)?;
    let finished = fs.remove(&dir.join(node_dir::UNFINISHED));
    finished
        .and_then(|()| fs.sync_dir(dir))
        .map_err(|error| disk(dir, &error))?;
    Ok(Restored {
        identity,
        backup: backup.description.clone(),
        clock,
    })
}

fn refuse_data(dir: &Path) -> Result<(), Error> {
    let names = names(dir).map_err(|error| disk(dir, &error))?;
    match names.iter().find(|name| !NO_DATA.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::rejected(format!(
            "{} is not empty: there is {name}; give the restore an empty directory, nothing was \
             changed in this one",
            dir.display()
        ))),
    }
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Removes what a restore that was cut short has left.
fn clear(dir: &Path) -> io::Result<()> {
    for name in [node_dir::LOG, node_dir::SNAPSHOTS] {
        match std::fs::remove_dir_all(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match std::fs::remove_file(dir.join(node_dir::NODE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn fill(
    backup: &BackupFile,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<(Identity, Duration), Error> {
    let identity = alone::new_identity()?;
    let cluster_id = identity.cluster_id.expect("it has just been drawn");
    let snapshot = backup.snapshot().map_err(failed)?;
    let last = LogId {
        term: snapshot.last.term + TERM_GAP,
        index: snapshot.last.index + INDEX_GAP,
    };
    let old: SnapshotHeader = codec::decode(&snapshot.meta).map_err(failed)?;
    let at = Some((last.term, last.index));
    let now = crate::world::wall_clock().duration_since(SystemTime::UNIX_EPOCH);
    let header = SnapshotHeader {
        cluster_id: format!("{cluster_id:032x}"),
        applied: at,
        members: StoredMembers {
            log_id: at,
            members: alone::members(identity.node_id, None),
        },
        removed: RemovedNodes::default(),
        // Log time would need months to make up for months.
        clock: old.clock.max(now.unwrap_or(Duration::ZERO)),
        comparison: Comparison::default(),
        node_id: Some(identity.node_id),
        foreign: 0,
        ..old
    };
    let snapshots = dir.join(node_dir::SNAPSHOTS);
    let keep = KeepSessions::No;
    let written = alone::rewrite_snapshot(&snapshot, &snapshots, &header, last, keep, progress)?;
    compare(
        &backup.description.parts,
        &Part::all_of(&written).map_err(failed)?,
    )?;
    let log = dir.join(node_dir::LOG);
    NewLog::begin(&log, Some(last), 0)?.finish(identity.node_id, last.term, Some(last))?;
    let named = node_dir::write_identity(&DiskFs, dir, identity);
    named.map_err(|error| disk(dir, &error))?;
    Ok((identity, header.clock))
}

/// Whether the disk holds what the backup says it should.
fn compare(wanted: &[Part], written: &[Part]) -> Result<(), Error> {
    let differs = |part: &&Part| part.name != SESSIONS_SECTION && !written.contains(part);
    match wanted.iter().find(differs) {
        None => Ok(()),
        Some(part) => Err(Error::fatal(format!(
            "{} was not written as it stands in the backup; check the disk, then run the restore \
             again",
            part.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::machine::{Machine, Watch};
    use crate::session::Sessions;
    use crate::storage::backup::Backup;
    use crate::storage::node_dir::NodeDir;
    use crate::storage::snapshot::SnapshotStore;

    /// A backup of a cluster without services.
    fn backup(dir: &Path) -> BackupFile {
        let machine = Machine::new(Vec::new(), Watch::default()).expect("no names");
        let header = machine.read().snapshot_header(7, 1);
        let store = SnapshotStore::open(Arc::new(DiskFs), dir).expect("opened");
        let meta = codec::encode(&header).expect("data");
        let last = LogId { term: 2, index: 9 };
        let mut writer = store.create(last, &meta).expect("created");
        let mut section = writer.section(SESSIONS_SECTION).expect("begun");
        codec::encode_into(&Sessions::default(), &mut section).expect("written");
        let snapshot = writer.finish().expect("finished");
        let description = Description {
            cluster_id: header.cluster_id,
            cluster_name: "test".to_owned(),
            node_id: "1".repeat(16),
            written_by: header.written_by,
            term: 2,
            index: 9,
            taken_at_ms: 0,
            log_time_ms: 0,
            versions: Default::default(),
            parts: Part::all_of(&snapshot).expect("whole"),
            snapshot_bytes: snapshot.bytes,
        };
        let mut backup = Backup::new(snapshot, &description).expect("begun");
        let mut bytes = Vec::new();
        while let Some(piece) = backup.next_piece().expect("read") {
            bytes.extend_from_slice(&piece);
        }
        let path = dir.join("backup");
        std::fs::write(&path, bytes).expect("written");
        BackupFile::open(&DiskFs, &path).expect("a backup")
    }

    #[test]
    fn what_was_cut_short_is_refused_to_nodes_and_begun_again() {
        let scratch = tempfile::tempdir().expect("a directory");
        let backup = backup(scratch.path());
        let dir = scratch.path().join("data");
        std::fs::create_dir_all(dir.join(node_dir::LOG)).expect("made");
        std::fs::write(dir.join(node_dir::LOG).join("x.wal"), "half").expect("written");
        std::fs::write(dir.join(node_dir::NODE), "half").expect("written");
        Unfinished::Restore.write(&DiskFs, &dir).expect("noted");
        let refused = NodeDir::open(Arc::new(DiskFs), &dir).err();
        let refused = refused.expect("a node was let in").to_string();
        assert!(refused.contains("braft restore"), "{refused}");

        let restored = restore(&backup, &dir, &mut |_| {}).expect("restored");
        let opened = NodeDir::open(Arc::new(DiskFs), &dir).expect("finished");
        assert_eq!(opened.node_id(), restored.identity.node_id);
        assert_eq!(opened.cluster_id(), restored.identity.cluster_id);
        assert!(!dir.join(node_dir::LOG).join("x.wal").exists());
    }

    #[test]
    fn log_and_terms_go_on_far_behind_the_backup() {
        let scratch = tempfile::tempdir().expect("a directory");
        let backup = backup(scratch.path());
        let dir = scratch.path().join("data");
        let restored = restore(&backup, &dir, &mut |_| {}).expect("restored");
        let opened = super::super::Opened::open(&DiskFs, &dir).expect("a node's");
        let last = opened.last().expect("a snapshot");
        assert_eq!((last.term, last.index), (2 + TERM_GAP, 9 + INDEX_GAP));
        assert_eq!(opened.committed(), Some(last));
        let vote = opened.vote().expect("a vote");
        let node_id = restored.identity.node_id;
        assert_eq!((vote.term, vote.voted_for), (last.term, Some(node_id)));
    }
}
