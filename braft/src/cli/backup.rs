//! Backups, and new clusters made of them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::admin::Admin;
use super::args::Args;
use super::failure::{Failure, said};
use super::screen::{Screen, count, facts};
use crate::member::display_id;
use crate::offline;
use crate::storage::backup::{BackupFile, Description};
use crate::storage::fs::{DiskFs, Fs};
use crate::wire::admin as pb;

/// What the file is called until it is whole.
const PARTIAL: &str = "partial";

pub(super) async fn backup(args: &Args, file: &Path, screen: &mut Screen) -> Result<(), Failure> {
    if file.exists() {
        return Err(Failure::Refused(format!(
            "{} is there already; give another name, or remove it",
            file.display()
        )));
    }
    let admin = Admin::connect(args).await?;
    let mut client = admin.client.clone();
    let mut pieces = admin.answer(client.backup(pb::BackupRequest {})).await?;
    let partial = Partial::create(file)?;
    let mut bar = screen.bar("backup", 0);
    while let Some(piece) = pieces
        .message()
        .await
        .map_err(|status| said(&admin.address, &status))?
    {
        if piece.total_bytes > 0 {
            bar = screen.bar("backup", piece.total_bytes);
        }
        partial.write(&piece.data)?;
        bar.advance(piece.data.len() as u64);
    }
    drop(bar);
    let description = partial.finish(file)?;
    if screen.say_json(&description) {
        return Ok(());
    }
    screen.say(format!(
        "{} holds the state up to log index {}",
        file.display(),
        count(description.index)
    ));
    let file = file.display();
    screen.hint(format!(
        "`braft backup --verify {file}` checks it again, without a cluster"
    ));
    Ok(())
}

/// A file under construction; removed when dropped unfinished.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn create(target: &Path) -> Result<Self, Failure> {
        let mut name = target.file_name().unwrap_or_default().to_os_string();
        name.push(".");
        name.push(PARTIAL);
        let path = target.with_file_name(name);
        // It holds the users' data: nobody else's business.
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        match options.open(&path) {
            Ok(file) => Ok(Partial { path, file }),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let written = (&self.file).write_all(bytes);
        written.map_err(|error| failed(&self.path, &error))
    }

    /// Checks the file, makes it durable and gives it its name.
    fn finish(self, target: &Path) -> Result<Description, Failure> {
        let synced = self.file.sync_all();
        synced.map_err(|error| failed(&self.path, &error))?;
        let backup = BackupFile::open(&DiskFs, &self.path)?;
        backup.verify(&mut |_| {})?;
        // A link, unlike a new name, takes nobody else's place.
        fs::hard_link(&self.path, target)
            .or_else(|error| {
                if error.kind() == std::io::ErrorKind::AlreadyExists {
                    return Err(error);
                }
                fs::rename(&self.path, target)
            })
            .and_then(|()| match target.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => DiskFs.sync_dir(parent),
                _ => DiskFs.sync_dir(Path::new(".")),
            })
            .map_err(|error| failed(target, &error))?;
        Ok(backup.description)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It may have got its name, and is then not there any more.
        drop(fs::remove_file(&self.path));
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Damaged(format!(
        "{} cannot be written: {error}; check the disk, or choose another",
        path.display()
    ))
}

pub(super) fn verify(file: &Path, screen: &mut Screen) -> Result<(), Failure> {
    let backup = BackupFile::open(&DiskFs, file)?;
    let bar = screen.bar("verifying", backup.total_bytes);
    backup.verify(&mut |bytes| bar.advance(bytes))?;
    drop(bar);
    let description = &backup.description;
    if screen.say_json(description) {
        return Ok(());
    }
    let versions = description.versions.iter();
    let versions = versions.map(|(name, version)| format!("{name} {version}"));
    let mut shown = vec![
        (
            "cluster",
            format!("{} ({})", description.cluster_name, description.cluster_id),
        ),
        ("taken from", format!("node {}", description.node_id)),
        ("taken at", utc(description.taken_at_ms)),
        ("log time", utc(description.log_time_ms)),
        (
            "last entry",
            format!(
                "term {}, index {}",
                description.term,
                count(description.index)
            ),
        ),
        ("written by", format!("braft {}", description.written_by)),
        ("versions", versions.collect::<Vec<_>>().join(", ")),
    ];
    for (place, part) in description.parts.iter().enumerate() {
        let name = if place == 0 { "parts" } else { "" };
        let text = format!(
            "{}, {} bytes, digest {}",
            part.name,
            count(part.bytes),
            part.digest
        );
        shown.push((name, text));
    }
    screen.say(facts(&shown));
    screen.say("every byte is what was written");
    Ok(())
}

pub(super) fn restore(file: &Path, dir: &Path, screen: &mut Screen) -> Result<(), Failure> {
    let backup = BackupFile::open(&DiskFs, file)?;
    let bar = screen.bar("restoring", 2 * backup.total_bytes);
    let restored = offline::restore(&backup, dir, &mut |bytes| bar.advance(bytes))?;
    drop(bar);
    let identity = restored.identity;
    let cluster_id = format!("{:032x}", identity.cluster_id.unwrap_or_default());
    let node_id = display_id(identity.node_id);
    let log_time_ms = u64::try_from(restored.clock.as_millis()).unwrap_or(u64::MAX);
    let result = json!({
        "cluster_id": cluster_id,
        "node_id": node_id,
        "from_index": restored.backup.index,
        "log_time_ms": log_time_ms,
    });
    if screen.say_json(&result) {
        return Ok(());
    }
    let shown = dir.display();
    screen.say(format!(
        "{shown} is node {node_id} of the new cluster {cluster_id}, with the state up to log index \
         {} of the old one",
        count(restored.backup.index)
    ));
    screen.hint(format!(
        "log time goes on at {}, by the clock of this machine: if that is wrong, set the clock and \
         restore again",
        utc(log_time_ms)
    ));
    screen.hint(format!(
        "start it with BRAFT_DATA_DIR={shown}; nodes with empty data directories and the same \
         BRAFT_CLUSTER then join it, by discovery or `braft add`"
    ));
    Ok(())
}

/// A time of day, in UTC.
pub(super) fn utc(ms: u64) -> String {
    let (days, second) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Days since 0000-03-01, in years that begin in March (Howard Hinnant, "chrono-compatible
    // low-level date algorithms").
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, add) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        year + era * 400 + add,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_399_000), "2000-02-28T23:59:59Z");
        assert_eq!(utc(951_868_799_000), "2000-02-29T23:59:59Z");
        assert_eq!(utc(4_107_542_399_000), "2100-02-28T23:59:59Z");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01T00:00:00Z");
    }
}
