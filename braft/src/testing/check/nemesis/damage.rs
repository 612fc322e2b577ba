//! Disks with a wrong bit in what was synced long ago.

use std::path::{Path, PathBuf};

use futures_util::FutureExt;

use super::super::invent::below;
use super::{Nemesis, name};
use crate::service::Service;
use crate::storage::fs::Fs;
use crate::storage::fs::faults::FaultFs;
use crate::testing::cluster::TestNode;
use crate::testing::{TestError, TestResult};

/// Where the first batch of a segment begins, and the length of its header: a bit that is wrong there
/// is damage whatever the batch holds.
const FIRST_BATCH: usize = 128;
const BATCH_HEADER: u32 = 48;
/// A segment with something behind this has more than one batch.
const LATER_BATCHES: usize = 4096;
/// The two copies of a vote: where they are, and how long.
const VOTE_COPIES: [usize; 2] = [0, 4096];
const VOTE_BYTES: u32 = 64;

/// A file with a wrong bit.
struct Damage {
    file: PathBuf,
    /// Its bytes, each of which has one.
    at: Vec<usize>,
    /// Whether there is enough left to start on.
    is_harmless: bool,
}

impl Damage {
    fn of(file: PathBuf, at: usize) -> Self {
        Damage {
            file,
            at: vec![at],
            is_harmless: false,
        }
    }
}

impl<S: Service> Nemesis<S> {
    /// A bit on a disk is wrong: the node must not start on it, has to name the file, and may change
    /// nothing. It is given an empty disk then, as it asks for. One copy of a vote is not needed.
    pub(super) async fn damage(&mut self) -> TestResult {
        let Some(node) = self.dispensable() else {
            return self.cut_power(None).await;
        };
        let disk = (self.disks)(node);
        let dir = self.cluster.data_dir(node);
        let down = self.power_off(node).await?;
        if let Some(damage) = self.some_damage(&disk, &dir) {
            let file = damage.file.strip_prefix(&dir).unwrap_or(&damage.file);
            self.note(format!(
                "{} has a wrong bit in {}",
                name(node),
                file.display()
            ));
            disk.change(&damage.file, |bytes| {
                damage.at.iter().for_each(|at| bytes[*at] ^= 1);
            });
            self.start_on(node, &damage).await?;
        }
        self.start_again(down).await
    }

    /// Starts a node on its damaged disk; it is down afterwards.
    async fn start_on(&mut self, node: TestNode, damage: &Damage) -> TestResult {
        let (disk, file) = ((self.disks)(node), damage.file.display());
        let before = disk.content(&damage.file);
        let wrong = |what: String| Err(TestError::of_text(format!("{} {what}", name(node))));
        match self.cluster.start_again(node).boxed().await {
            Ok(()) if damage.is_harmless => {
                let _ = self.power_off(node).await?;
                return Ok(());
            }
            Ok(()) => return wrong(format!("started though {file} was damaged")),
            Err(error) if damage.is_harmless => {
                return wrong(format!("did not start, and it has another copy: {error}"));
            }
            Err(error) if !error.to_string().contains(&file.to_string()) => {
                return wrong(format!("did not name {file}, which is damaged: {error}"));
            }
            Err(_) if disk.content(&damage.file) != before => {
                return wrong(format!("refused to start, and changed {file}"));
            }
            Err(_) => {}
        }
        disk.wipe();
        self.note(format!(
            "{} refuses to start, and gets a new disk",
            name(node)
        ));
        Ok(())
    }

    fn some_damage(&mut self, disk: &FaultFs, dir: &Path) -> Option<Damage> {
        let (log, snapshots) = (dir.join("log"), dir.join("snapshots"));
        let names = |dir: &Path| disk.list(dir).unwrap_or_default();
        match below(&mut self.rng, 6) {
            0 | 1 => {
                let segment = log.join(newest_segment(&names(&log))?);
                let content = disk.content(&segment)?;
                let later = content.get(LATER_BATCHES..).unwrap_or_default();
                let is_long = later.iter().any(|byte| *byte != 0);
                let at = FIRST_BATCH + below(&mut self.rng, BATCH_HEADER) as usize;
                is_long.then(|| Damage::of(segment, at))
            }
            2 | 3 => {
                let snapshot = snapshots.join(newest_snapshot(&names(&snapshots))?);
                self.anywhere(disk, snapshot)
            }
            4 => {
                let vote = log.join("vote");
                let at = below(&mut self.rng, VOTE_BYTES) as usize;
                let both = below(&mut self.rng, 2) == 0;
                let copies = VOTE_COPIES.map(|copy| copy + at);
                // A vote that was being written is whole in one copy only.
                let content = disk.content(&vote)?;
                let [a, b] = VOTE_COPIES.map(|copy| content.get(copy..copy + VOTE_BYTES as usize));
                if a != b {
                    return None;
                }
                let one = copies[below(&mut self.rng, 2) as usize];
                Some(Damage {
                    file: vote,
                    at: if both { copies.to_vec() } else { vec![one] },
                    is_harmless: !both,
                })
            }
            _ => {
                let names = ["node", "promise", "starts"];
                let name = names[below(&mut self.rng, 3) as usize];
                self.anywhere(disk, dir.join(name))
            }
        }
    }

    /// A wrong bit anywhere in a file of which each is checked.
    fn anywhere(&mut self, disk: &FaultFs, file: PathBuf) -> Option<Damage> {
        let bytes = u32::try_from(disk.content(&file)?.len()).ok()?;
        let at = below(&mut self.rng, bytes.max(1)) as usize;
        (bytes > 0).then(|| Damage::of(file, at))
    }
}

/// The numbers of segments have all their digits, so the last name is the newest.
fn newest_segment(names: &[String]) -> Option<&String> {
    let mut segments = names.iter().filter(|name| name.ends_with(".wal"));
    segments.next_back()
}

/// Names begin with term and index, without zeros before them. An older one may be left where power was
/// cut before it was removed; nobody reads it.
fn newest_snapshot(names: &[String]) -> Option<&String> {
    let finished = names.iter().filter(|name| name.ends_with(".snap"));
    finished.max_by_key(|name| {
        let mut numbers = name.split('-').map(|part| part.parse::<u64>().ok());
        (numbers.next().flatten(), numbers.next().flatten())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshot_is_that_of_the_last_log_id() {
        let names = ["6-1000-a.snap", "6-925-b.snap", "7-2000-c.part"];
        let names = names.map(str::to_owned);
        assert_eq!(newest_snapshot(&names), Some(&names[0]));
        assert_eq!(newest_snapshot(&names[2..]), None);
        let names = ["10-3-a.snap", "9-8-b.snap"].map(str::to_owned);
        assert_eq!(newest_snapshot(&names), Some(&names[0]));
    }
}
