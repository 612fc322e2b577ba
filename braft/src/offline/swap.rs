//! New data takes the place of old data in one directory, whatever comes in between.
//!
//! Which step comes next stands in a file ([`Unfinished`]), and each step can be done twice. No node
//! starts in the directory meanwhile. The directory itself is not renamed: it may be a mount point.

use std::io;
use std::path::Path;

use crate::storage::fs::{DiskFs, Fs};
use crate::storage::node_dir::{self, Stage, Unfinished};

/// Where the new data is written.
pub(super) const NEW: &str = "recovered.new";

/// What a node keeps in its directory. Its identity comes last: without it there is no node.
const ALL: [&str; 5] = [
    node_dir::SNAPSHOTS,
    node_dir::LOG,
    node_dir::PROMISE,
    node_dir::STARTS,
    node_dir::NODE,
];

/// Called before each change, with what it is. A test ends the work with an error there.
pub(super) type Step<'a> = &'a mut dyn FnMut(&str) -> io::Result<()>;

/// Begins: from here on no node starts in the directory.
pub(super) fn begin(dir: &Path, kept_in: &str) -> io::Result<()> {
    note(dir, kept_in, Stage::Building)
}

fn note(dir: &Path, kept_in: &str, stage: Stage) -> io::Result<()> {
    let kept_in = kept_in.to_owned();
    Unfinished::Recover { stage, kept_in }.write(&DiskFs, dir)
}

/// Takes back what was built of the new data; the old data was not touched.
pub(super) fn discard(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir.join(NEW)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives up before anything was moved.
pub(super) fn withdraw(dir: &Path) -> io::Result<()> {
    discard(dir)?;
    DiskFs.remove(&dir.join(node_dir::UNFINISHED))?;
    DiskFs.sync_dir(dir)
}

/// Goes on from a stage to the end. The new data has to be complete and synced.
pub(super) fn finish(dir: &Path, kept_in: &str, from: Stage, step: Step<'_>) -> io::Result<()> {
    let (new, kept) = (dir.join(NEW), dir.join(kept_in));
    if from == Stage::Building {
        step("note that the new data is complete")?;
        note(dir, kept_in, Stage::SettingAside)?;
    }
    if from != Stage::PuttingIn {
        DiskFs.create_dir_all(&kept)?;
        move_all(dir, &kept, step)?;
        step("note that the old data is away")?;
        note(dir, kept_in, Stage::PuttingIn)?;
    }
    move_all(&new, dir, step)?;
    step("remove the empty directory")?;
    match std::fs::remove_dir(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    step("note the end")?;
    DiskFs.remove(&dir.join(node_dir::UNFINISHED))?;
    DiskFs.sync_dir(dir)
}

fn move_all(from: &Path, to: &Path, step: Step<'_>) -> io::Result<()> {
    for name in ALL {
        if DiskFs.exists(&from.join(name))? {
            step(name)?;
            DiskFs.rename(&from.join(name), &to.join(name))?;
        }
    }
    // Where a name has come to, then where it has gone from: it is never in neither.
    DiskFs.sync_dir(to)?;
    if DiskFs.exists(from)? {
        DiskFs.sync_dir(from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::storage::node_dir::{NodeDir, OpenNodeDirError};

    const KEPT: &str = "before";

    fn fill(dir: &Path, what: &str, names: &[&str]) {
        std::fs::create_dir_all(dir).expect("made");
        for name in names {
            std::fs::write(dir.join(name), what).expect("written");
        }
    }

    fn content(dir: &Path) -> BTreeMap<String, String> {
        let files = std::fs::read_dir(dir).expect("listed").map(|entry| {
            let entry = entry.expect("there");
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            (entry.file_name().to_string_lossy().into_owned(), text)
        });
        files.collect()
    }

    fn begun() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        fill(dir.path(), "old", &ALL);
        begin(dir.path(), KEPT).expect("noted");
        // A new node has made no promise, and was never started.
        let new = [node_dir::SNAPSHOTS, node_dir::LOG, node_dir::NODE];
        fill(&dir.path().join(NEW), "new", &new);
        dir
    }

    fn stage(dir: &Path) -> Option<Stage> {
        match Unfinished::read(&DiskFs, dir).expect("readable") {
            Some(Unfinished::Recover { stage, .. }) => Some(stage),
            _ => None,
        }
    }

    #[test]
    fn cut_short_anywhere_it_is_refused_to_nodes_and_can_be_finished() {
        for cut in 0.. {
            let dir = begun();
            let mut left = cut;
            let cut_short = finish(dir.path(), KEPT, Stage::Building, &mut |_| {
                left -= 1;
                if left < 0 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                Ok(())
            });
            if cut_short.is_err() {
                let opened = NodeDir::open(std::sync::Arc::new(DiskFs), dir.path());
                let refused = opened.err().expect("a node was let in");
                let refused_rightly = matches!(refused, OpenNodeDirError::Unfinished { .. });
                assert!(refused_rightly, "{refused}");
                let from = stage(dir.path()).expect("what to do");
                finish(dir.path(), KEPT, from, &mut |_| Ok(())).expect("finished");
            }
            let kept = content(&dir.path().join(KEPT));
            assert!(
                ALL.iter().all(|name| kept[*name] == "old"),
                "{cut}: {kept:?}"
            );
            let now = content(dir.path());
            for name in [node_dir::SNAPSHOTS, node_dir::LOG, node_dir::NODE] {
                assert_eq!(now[name], "new", "{cut}");
            }
            assert!(!now.contains_key(node_dir::UNFINISHED) && !now.contains_key(NEW));
            assert!(!now.contains_key(node_dir::PROMISE), "{cut}: {now:?}");
            if cut_short.is_ok() {
                assert!(cut > 8, "the work has few steps");
                return;
            }
        }
    }

    #[test]
    fn what_was_begun_can_be_taken_back_before_anything_is_moved() {
        let dir = begun();
        withdraw(dir.path()).expect("taken back");
        let now = content(dir.path());
        assert!(ALL.iter().all(|name| now[*name] == "old"));
        assert_eq!(now.len(), ALL.len() + usize::from(now.contains_key("LOCK")));
    }
}
