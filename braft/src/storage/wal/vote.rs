//! The vote file: the same vote in two slots.
//!
//! A vote is written into slot A and synced, then into slot B and synced, and only then
//! acknowledged. So whatever single slot is torn by a crash or damaged later, the other one
//! still holds what was acknowledged: if A is bad, either the write of A was cut short and B is
//! the last acknowledged vote, or A went bad later and B is equal to it. One slot alone, or two
//! used in turn, could not tell a torn new vote from a damaged acknowledged one. Nothing is
//! allocated after the file was created, so a node can vote on a full disk.
//!
//! The votes do not live among the batches because a purge would have to carry them along.

use std::path::Path;
use std::sync::Arc;

use super::error::OpenWalError;
use super::record::le_u32;
use super::record::le_u64;
use super::segment::FORMAT;
use super::types::Vote;
use crate::planted::{self, Bug};
use crate::storage::fs::Fs;
use crate::storage::fs::FsFile;
use crate::storage::fs::Mode;
use crate::storage::fs::named;
use crate::storage::fs::replace_file;

/// The vote file's name.
pub(super) const NAME: &str = "vote";
/// The slots lie in pages of their own, so that a torn write of one leaves the other alone.
const SLOT_BYTES: u64 = 4096;
/// Bytes of a slot that are used.
const USED: usize = 64;
const MAGIC: [u8; 8] = *b"braftvot";
const HAS_VOTE: u32 = 1;
const HAS_CANDIDATE: u32 = 2;
const COMMITTED: u32 = 4;

/// The open vote file.
pub(super) struct VoteFile {
    file: Arc<dyn FsFile>,
    salt: u64,
}

/// What the vote file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stored {
    pub(super) vote: Option<Vote>,
    /// The salt of the log this file belongs to.
    pub(super) salt: u64,
}

/// What was found at opening.
pub(super) struct Found {
    pub(super) stored: Stored,
    /// One slot is not like the other and wants to be written again.
    pub(super) repair: bool,
}

impl VoteFile {
    /// Creates the file of a new log, without a vote.
    pub(super) fn create(fs: &dyn Fs, dir: &Path, salt: u64) -> std::io::Result<Self> {
        let slot = encode(Stored { vote: None, salt });
        let mut bytes = vec![0; 2 * SLOT_BYTES as usize];
        for at in [0, SLOT_BYTES as usize] {
            bytes[at..at + USED].copy_from_slice(&slot);
        }
        replace_file(fs, dir, NAME, &bytes)?;
        let file = fs.open(&dir.join(NAME), Mode::Write)?;
        Ok(Self { file, salt })
    }

    /// Reads the file, changing nothing.
    pub(super) fn read(fs: &dyn Fs, dir: &Path) -> Result<Found, OpenWalError> {
        let path = dir.join(NAME);
        let io = |source| OpenWalError::Io {
            dir: dir.to_path_buf(),
            source,
        };
        let file = fs.open(&path, Mode::Read).map_err(io)?;
        let mut slots = [[0; USED]; 2];
        for (slot, at) in slots.iter_mut().zip([0, SLOT_BYTES]) {
            let read = file.read_up_to(slot, at);
            read.map_err(|error| io(named(&path, error)))?;
        }
        let [a, b] = slots.map(|slot| decode(&path, &slot));
        let stored = match (a?, b?) {
            // A is written first, so it is never older than B.
            (Some(stored), _) | (None, Some(stored)) => stored,
            (None, None) => {
                let what = "neither copy of the vote can be read".into();
                let (file, offset) = (path, 0);
                return Err(OpenWalError::Damaged { file, offset, what });
            }
        };
        let repair = a_differs(&slots, stored);
        Ok(Found { stored, repair })
    }

    /// Opens the file that was read, writing it again if a slot was bad.
    pub(super) fn open(fs: &dyn Fs, dir: &Path, found: &Found) -> std::io::Result<Self> {
        let file = fs.open(&dir.join(NAME), Mode::Write)?;
        let salt = found.stored.salt;
        let votes = Self { file, salt };
        if found.repair {
            votes.save(found.stored.vote)?;
        }
        Ok(votes)
    }

    /// Makes a vote durable, with two syncs.
    pub(super) fn save(&self, vote: Option<Vote>) -> std::io::Result<()> {
        let salt = self.salt;
        let slot = encode(Stored { vote, salt });
        for at in [0, SLOT_BYTES] {
            self.file.write_all_at(&slot, at)?;
            if !planted::is(Bug::VoteNotSynced) {
                self.file.sync_data()?;
            }
        }
        Ok(())
    }
}

fn a_differs(slots: &[[u8; USED]; 2], stored: Stored) -> bool {
    slots.iter().any(|slot| *slot != encode(stored))
}

fn encode(stored: Stored) -> [u8; USED] {
    let mut out = [0; USED];
    let mut flags = 0;
    out[0..8].copy_from_slice(&MAGIC);
    out[12..16].copy_from_slice(&FORMAT.to_le_bytes());
    out[16..24].copy_from_slice(&stored.salt.to_le_bytes());
    if let Some(vote) = stored.vote {
        flags |= HAS_VOTE;
        flags |= if vote.committed { COMMITTED } else { 0 };
        out[32..40].copy_from_slice(&vote.term.to_le_bytes());
        if let Some(candidate) = vote.voted_for {
            flags |= HAS_CANDIDATE;
            out[40..48].copy_from_slice(&candidate.to_le_bytes());
        }
    }
    out[24..28].copy_from_slice(&u32::to_le_bytes(flags));
    let crc = crc32fast::hash(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

fn decode(path: &Path, slot: &[u8; USED]) -> Result<Option<Stored>, OpenWalError> {
    if slot[0..8] != MAGIC || le_u32(slot, 8) != crc32fast::hash(&slot[12..]) {
        return Ok(None);
    }
    let found = le_u32(slot, 12);
    if found > FORMAT {
        let (file, known) = (path.to_path_buf(), FORMAT);
        return Err(OpenWalError::NewerFormat { file, found, known });
    }
    let flags = le_u32(slot, 24);
    let vote = Vote {
        term: le_u64(slot, 32),
        voted_for: (flags & HAS_CANDIDATE != 0).then(|| le_u64(slot, 40)),
        committed: flags & COMMITTED != 0,
    };
    Ok(Some(Stored {
        vote: (flags & HAS_VOTE != 0).then_some(vote),
        salt: le_u64(slot, 16),
    }))
}
