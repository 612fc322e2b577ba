//! Opens a log: reads everything first, changes nothing until it is certain that nothing
//! acknowledged is missing, then cuts off what a crash left unfinished.
//!
//! What ends the log is decided by sequence numbers. Reading stops at the first batch that is
//! not there or not whole. If anything behind it says that this very batch had been synced, it
//! was damaged later: refused. Otherwise it was never acknowledged: the tail is cut, by zeros,
//! so that none of it can be read once new batches have grown up to it.

use std::path::Path;
use std::sync::Arc;

use super::error::OpenWalError;
use super::record::BATCH_HEADER;
use super::record::BATCH_MAGIC;
use super::record::BatchHeader;
use super::replay::End;
use super::replay::Replay;
use super::segment;
use super::segment::FORMAT;
use super::segment::HeaderError;
use super::segment::SEGMENT_HEADER;
use super::segment::STEP_BYTES;
use super::segment::Segment;
use super::segment::SegmentHeader;
use super::types::Vote;
use super::types::WalOptions;
use super::vote;
use super::vote::VoteFile;
use super::writer;
use super::writer::Position;
use crate::planted::{self, Bug};
use crate::storage::fs::Fs;
use crate::storage::fs::Mode;
use crate::storage::fs::named;

/// An open log, before its threads run.
pub(super) struct Recovered {
    pub(super) replay: Replay,
    pub(super) at: Position,
    pub(super) votes: VoteFile,
    pub(super) vote: Option<Vote>,
}

/// First segment of a new log: short, so that a new node starts at once; the helper makes the
/// first full one meanwhile.
const FIRST_SEGMENT_BYTES: u64 = 4 << 20;

/// A segment that is not the last one and yet has no seal: the log stopped in a rotation.
struct Unsealed {
    segment: Arc<Segment>,
    offset: u64,
    bad: u64,
}

struct Recovery<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
}

/// Opens the log in `dir`, or creates it.
pub(super) fn recover(
    fs: &dyn Fs,
    dir: &Path,
    options: &WalOptions,
) -> Result<Recovered, OpenWalError> {
    let recovery = Recovery { fs, dir };
    let names = fs.list(dir).map_err(|error| recovery.io(error))?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment::number(name))
        .collect();
    numbers.sort_unstable();
    if numbers.is_empty() {
        recovery.create(options)
    } else {
        recovery.read(&numbers, options)
    }
}

impl Recovery<'_> {
    fn io(&self, source: std::io::Error) -> OpenWalError {
        OpenWalError::Io {
            dir: self.dir.to_path_buf(),
            source,
        }
    }

    fn damaged(&self, segment: &Segment, offset: u64, what: impl Into<String>) -> OpenWalError {
        OpenWalError::Damaged {
            file: segment.path.clone(),
            offset,
            what: what.into(),
        }
    }

    fn missing(&self, name: &str, what: impl Into<String>) -> OpenWalError {
        OpenWalError::Missing {
            file: self.dir.join(name),
            what: what.into(),
        }
    }

    fn has_vote_file(&self) -> Result<bool, OpenWalError> {
        let path = self.dir.join(vote::NAME);
        self.fs.exists(&path).map_err(|error| self.io(error))
    }

    /// Starts a new log. The vote file comes first: a log without one is damaged.
    fn create(&self, options: &WalOptions) -> Result<Recovered, OpenWalError> {
        if self.has_vote_file()? {
            let found = VoteFile::read(self.fs, self.dir)?;
            if found.stored.vote.is_some() {
                let what = "this node has voted, so there was a log, and no segment is left";
                return Err(self.missing(&segment::name(1), what));
            }
        }
        let salt = crate::world::random().map_err(|error| self.io(error))?;
        let (segment, votes) = self
            .new_files(salt, options)
            .map_err(|error| self.io(error))?;
        let mut replay = Replay::new(&segment.header, options);
        replay.index.push_segment(Arc::clone(&segment));
        let at = replay.position(segment, SEGMENT_HEADER as u64);
        let vote = None;
        Ok(Recovered {
            replay,
            at,
            votes,
            vote,
        })
    }

    fn new_files(
        &self,
        salt: u64,
        options: &WalOptions,
    ) -> std::io::Result<(Arc<Segment>, VoteFile)> {
        let votes = VoteFile::create(self.fs, self.dir, salt)?;
        let header = SegmentHeader {
            salt,
            number: 1,
            bytes: options.segment_bytes.min(FIRST_SEGMENT_BYTES),
            first_batch: 1,
            last: None,
            purged: None,
            committed: None,
        };
        let spare = self.dir.join(segment::SPARE);
        let file = self.fs.open(&spare, Mode::Create)?;
        segment::zero(&*file, 0, header.bytes)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        let segment = Segment::new(header, self.dir, file);
        self.fs.rename(&spare, &segment.path)?;
        self.fs.sync_dir(self.dir)?;
        Ok((segment, votes))
    }

    fn read(&self, numbers: &[u64], options: &WalOptions) -> Result<Recovered, OpenWalError> {
        // A purge removes old segments one by one, and a crash may bring any of them back, so
        // there may be gaps. What the log needs is the run up to the newest.
        let gap = numbers.windows(2).rposition(|pair| pair[1] != pair[0] + 1);
        let (leftover, numbers) = numbers.split_at(gap.map_or(0, |at| at + 1));
        let segments = self.open_segments(numbers)?;
        if !self.has_vote_file()? {
            return Err(self.missing(vote::NAME, "there are log segments beside it"));
        }
        let found = VoteFile::read(self.fs, self.dir)?;
        if found.stored.salt != segments[0].header.salt {
            let what = "it belongs to another log than the vote file beside it";
            return Err(self.damaged(&segments[0], 16, what));
        }

        let mut replay = Replay::new(&segments[0].header, options);
        let (end, unsealed) = self.replay(&segments, &mut replay)?;
        if let Some(last) = replay.uncovered() {
            let name = segment::name(numbers[0] - 1);
            let what = format!("segment {} continues it from entry {last}", numbers[0]);
            return Err(self.missing(&name, what));
        }

        let last = segments.last().expect("there is at least one segment");
        let at = replay.position(Arc::clone(last), end);
        let votes = self
            .repair(leftover, &mut replay, &at, unsealed, &found)
            .map_err(|error| self.io(error))?;
        let vote = found.stored.vote;
        Ok(Recovered {
            replay,
            at,
            votes,
            vote,
        })
    }

    fn open_segments(&self, numbers: &[u64]) -> Result<Vec<Arc<Segment>>, OpenWalError> {
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        for number in numbers {
            let segment = self.open_segment(*number)?;
            if let Some(first) = segments.first()
                && first.header.salt != segment.header.salt
            {
                let what = "it belongs to another log than the segments before it";
                return Err(self.damaged(&segment, 16, what));
            }
            segments.push(segment);
        }
        Ok(segments)
    }

    fn open_segment(&self, number: u64) -> Result<Arc<Segment>, OpenWalError> {
        let path = self.dir.join(segment::name(number));
        let file = self
            .fs
            .open(&path, Mode::Write)
            .map_err(|error| self.io(error))?;
        let mut bytes = [0; SEGMENT_HEADER];
        file.read_up_to(&mut bytes, 0)
            .map_err(|error| self.io(named(&path, error)))?;
        let header = match SegmentHeader::decode(&bytes) {
            Ok(header) => header,
            Err(HeaderError::Newer(found)) => {
                let (file, known) = (path, FORMAT);
                return Err(OpenWalError::NewerFormat { file, found, known });
            }
            Err(HeaderError::Damaged) => {
                let what = "the segment's header is not what was written".into();
                let (file, offset) = (path, 0);
                return Err(OpenWalError::Damaged { file, offset, what });
            }
        };
        let bytes = file.bytes().map_err(|error| self.io(error))?;
        let segment = Segment::new(header, self.dir, file);
        if header.number != number {
            let what = format!("its header says that it is segment {}", header.number);
            return Err(self.damaged(&segment, 24, what));
        }
        if bytes != header.bytes {
            let expected = header.bytes;
            let what = format!("the file is {bytes} bytes long, it was made with {expected}");
            return Err(self.damaged(&segment, bytes.min(expected), what));
        }
        Ok(segment)
    }

    /// Reads all segments; tells where the last one ends.
    fn replay(
        &self,
        segments: &[Arc<Segment>],
        replay: &mut Replay,
    ) -> Result<(u64, Option<Unsealed>), OpenWalError> {
        let mut unsealed: Option<Unsealed> = None;
        for (at, segment) in segments.iter().enumerate() {
            let next = segments.get(at + 1);
            if segment.header.first_batch != replay.sequence {
                let what = format!(
                    "it starts with batch {}, and the segment before it ends at batch {}",
                    segment.header.first_batch, replay.sequence
                );
                return Err(self.damaged(segment, 40, what));
            }
            let before = replay.sequence;
            replay.index.push_segment(Arc::clone(segment));
            let end = replay.segment(segment).map_err(|error| self.io(error))?;
            if let Some(Unsealed { segment, bad, .. }) = &unsealed
                && replay.sequence != before
            {
                let what = "its end is not what was written";
                return Err(self.damaged(segment, *bad, what));
            }
            match (end, next) {
                (End::Sealed, Some(_)) => {}
                (End::Sealed, None) => {
                    let name = segment::name(segment.header.number + 1);
                    return Err(self.missing(&name, "the segment before it was closed for it"));
                }
                (End::Contradiction { offset, what }, _) => {
                    return Err(self.damaged(segment, offset, what));
                }
                (End::Open { offset, bad }, Some(next)) => {
                    if at + 2 != segments.len() || next.header.first_batch != replay.sequence {
                        let what = "a batch that was known to be synced is not what was written";
                        return Err(self.damaged(segment, bad, what));
                    }
                    let segment = Arc::clone(segment);
                    unsealed = Some(Unsealed {
                        segment,
                        offset,
                        bad,
                    });
                }
                (End::Open { offset, bad }, None) => {
                    let synced = self.evidence(segment, offset)?;
                    if synced.is_some_and(|synced| synced >= replay.sequence)
                        && !planted::is(Bug::CutSyncedDamage)
                    {
                        let what = "a batch that was known to be synced is not what was written";
                        return Err(self.damaged(segment, bad, what));
                    }
                    return Ok((offset, unsealed));
                }
            }
        }
        unreachable!("the last segment returns")
    }

    /// The highest synced mark that any readable batch header behind `from` bears.
    fn evidence(&self, segment: &Segment, from: u64) -> Result<Option<u64>, OpenWalError> {
        let mut highest = None;
        let mut buf = vec![0; step_bytes(segment, from)];
        let mut at = from;
        while at < segment.header.bytes {
            let file = &segment.file;
            let read = file
                .read_up_to(&mut buf, at)
                .map_err(|error| self.io(named(&segment.path, error)))?;
            for offset in magics(&buf[..read]) {
                let seed = segment.seed(at + offset as u64);
                if let Some(header) = BatchHeader::decode(&buf[offset..read], seed) {
                    highest = highest.max(Some(header.synced));
                }
            }
            if at + read as u64 >= segment.header.bytes || read <= BATCH_HEADER {
                break;
            }
            // A header may lie across two steps.
            at += (read - BATCH_HEADER) as u64;
        }
        Ok(highest)
    }

    /// Brings the files into the state from which the writer goes on.
    fn repair(
        &self,
        leftover: &[u64],
        replay: &mut Replay,
        at: &Position,
        unsealed: Option<Unsealed>,
        found: &vote::Found,
    ) -> std::io::Result<VoteFile> {
        if let Some(Unsealed {
            segment, offset, ..
        }) = unsealed
        {
            zero_rest(&segment, offset)?;
            writer::seal(&segment, offset, replay.sequence)?;
        }
        zero_rest(&at.segment, at.offset)?;
        // What was read may never have been synced: it was the page cache that remembered.
        at.segment.file.sync_data()?;
        let votes = VoteFile::open(self.fs, self.dir, found)?;

        for number in leftover {
            self.fs.remove(&self.dir.join(segment::name(*number)))?;
        }
        for segment in replay.void.drain(..) {
            self.fs.remove(&segment.path)?;
        }
        let (recycled, spare) = (
            self.dir.join(writer::RECYCLED),
            self.dir.join(segment::SPARE),
        );
        if self.fs.exists(&recycled)? {
            self.fs.rename(&recycled, &spare)?;
        }
        self.fs.sync_dir(self.dir)?;
        Ok(votes)
    }
}

/// Length of the next piece of a segment that is looked at.
fn step_bytes(segment: &Segment, at: u64) -> usize {
    STEP_BYTES.min(segment.header.bytes.saturating_sub(at) as usize)
}

/// Overwrites whatever is left behind the log's end. Mostly there is nothing.
fn zero_rest(segment: &Segment, from: u64) -> std::io::Result<()> {
    let step = step_bytes(segment, from);
    let (zeros, mut buf) = (vec![0; step], vec![0; step]);
    let mut at = from;
    while at < segment.header.bytes {
        let step = step_bytes(segment, at);
        let read = segment.file.read_up_to(&mut buf[..step], at);
        read.map_err(|error| named(&segment.path, error))?;
        if buf[..step] != zeros[..step] {
            segment.file.write_all_at(&zeros[..step], at)?;
        }
        at += step as u64;
    }
    Ok(())
}

/// Offsets at which a batch header may begin.
fn magics(bytes: &[u8]) -> impl Iterator<Item = usize> {
    /// Whole blocks of zeros are passed over at once; they are most of what is searched.
    const BLOCK: usize = 512;
    let blocks = (0..bytes.len()).step_by(BLOCK);
    let full = blocks.filter(move |at| {
        let end = bytes.len().min(at + BLOCK);
        bytes[*at..end] != [0; BLOCK][..end - at]
    });
    full.flat_map(move |at| at..bytes.len().min(at + BLOCK))
        .filter(move |at| bytes[*at..].starts_with(&BATCH_MAGIC))
}
