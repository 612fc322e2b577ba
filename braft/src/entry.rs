//! What one log entry holds: a batch of commands under one time stamp and one seed.
//!
//! Encoded once by the leader; the same bytes go to the log, to the peers and to apply.
//!
//! ```text
//! u8 version | u64 time (ns since 1970) | u64 seed | item…
//! item = u8 kind | fields; integers little-endian, names u16 length, payloads u32 length
//! fenced command = u8 kind | u64 term | the fields of a command
//! keyed command = u8 kind | u64 term, 0 for any | u16 length | key | the fields of a command
//! ```

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::member::Removal;

/// The version of this layout. A replica that meets another one stops: it must not guess.
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 17;

const KIND_COMMAND: u8 = 1;
const KIND_OPEN_SESSION: u8 = 2;
const KIND_CLOSE_SESSION: u8 = 3;
const KIND_SEED_SETTINGS: u8 = 4;
const KIND_NOTE_REMOVAL: u8 = 5;
const KIND_FENCED_COMMAND: u8 = 6;
const KIND_TICK: u8 = 7;
const KIND_DIGEST_MARK: u8 = 8;
const KIND_DIGEST_REPORT: u8 = 9;
const KIND_CLEAR_PANICS: u8 = 10;
const KIND_SKIP_PANICKED: u8 = 12;
const KIND_ACTIVATE: u8 = 11;
const KIND_CHANGE_SETTINGS: u8 = 17;
const KIND_KEYED_COMMAND: u8 = 15;

/// One operation inside an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A user's command, in the name of a session.
    Command {
        session: u64,
        sequence: u64,
        responded_to: u64,
        /// Without effect in an entry of any other term.
        fence: Option<NonZeroU64>,
        /// Without effect if a command was carried out under it: that one's outcome counts.
        key: Option<Bytes>,
        service: Bytes,
        payload: Bytes,
    },
    /// Opens a session whose id is this item's place in the log.
    OpenSession,
    /// Ends a session.
    CloseSession { session: u64 },
    /// The first settings of a cluster, as MessagePack; without effect on a cluster that has some.
    SeedSettings { settings: Bytes },
    /// Why a member is about to be removed; the membership without it follows.
    NoteRemoval { node_id: u64, removal: Removal },
    /// Nothing but the entry's time: a wake is due, and nobody else proposes.
    Tick,
    /// Each replica takes the digests of its state as it is here, and reports them.
    DigestMark,
    /// What a replica found at the mark with this log index: the digest of each part of its state.
    DigestReport {
        node_id: u64,
        mark: u64,
        digests: Vec<(Bytes, u64)>,
    },
    /// Forgets how often a method has panicked.
    ClearPanics { service: Bytes, method: Bytes },
    /// The command at this place panicked: it has no effect, on any replica and in any replay.
    SkipPanicked { index: u64, ordinal: u32 },
    /// Versions of services that every node's binary knows, as MessagePack: active from here on.
    ActivateVersions { versions: Bytes },
    /// Names of settings and their new values, as a JSON object; the others stay.
    ChangeSettings { changes: Bytes },
}

const REMOVALS: [(u8, Removal); 3] = [
    (1, Removal::Dead),
    (2, Removal::Superseded),
    (3, Removal::Operator),
];

fn removal_code(removal: Removal) -> u8 {
    let known = REMOVALS.iter().find(|(_, other)| *other == removal);
    known.expect("each removal has a code").0
}

/// An entry cannot be read: the replica must stop rather than skip it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ReadEntryError {
    #[error(
        "log entry layout {found} is newer than {FORMAT}, the newest this binary reads; \
         start the binary that wrote it"
    )]
    Newer { found: u8 },
    #[error("log entry is cut short at byte {at}")]
    Short { at: usize },
    #[error("log entry has an item of unknown kind {kind} at byte {at}; start a newer binary")]
    UnknownItem { kind: u8, at: usize },
    #[error("log entry has a removal of unknown reason {code}; start a newer binary")]
    UnknownRemoval { code: u8 },
    #[error("log entry has a command with fencing number 0 at byte {at}")]
    NoTerm { at: usize },
}

/// Builds an entry item by item.
#[derive(Debug)]
pub(crate) struct EntryWriter {
    bytes: BytesMut,
    items: u32,
}

impl EntryWriter {
    pub(crate) fn new(time: Duration, seed: u64) -> Self {
        let mut bytes = BytesMut::with_capacity(1024);
        bytes.put_u8(FORMAT);
        bytes.put_u64_le(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        bytes.put_u64_le(seed);
        EntryWriter { bytes, items: 0 }
    }

    pub(crate) fn push(&mut self, item: &Item) {
        self.items += 1;
        let out = &mut self.bytes;
        match item {
            Item::Command {
                session,
                sequence,
                responded_to,
                fence,
                key,
                service,
                payload,
            } => {
                let key_bytes = key.as_ref().map_or(0, Bytes::len);
                out.reserve(41 + key_bytes + service.len() + payload.len());
                match (fence, key) {
                    (None, None) => out.put_u8(KIND_COMMAND),
                    (Some(term), None) => {
                        out.put_u8(KIND_FENCED_COMMAND);
                        out.put_u64_le(term.get());
                    }
                    (fence, Some(key)) => {
                        out.put_u8(KIND_KEYED_COMMAND);
                        out.put_u64_le(fence.map_or(0, NonZeroU64::get));
                        let length =
                            u16::try_from(key.len()).expect("keys are checked at the door");
                        out.put_u16_le(length);
                        out.put_slice(key);
                    }
                }
                out.put_u64_le(*session);
                out.put_u64_le(*sequence);
                out.put_u64_le(*responded_to);
                let name = u16::try_from(service.len()).expect("names are checked at start");
                out.put_u16_le(name);
                out.put_slice(service);
                let length = u32::try_from(payload.len()).expect("sizes are checked at the door");
                out.put_u32_le(length);
                out.put_slice(payload);
            }
            Item::OpenSession => out.put_u8(KIND_OPEN_SESSION),
            Item::CloseSession { session } => {
                out.put_u8(KIND_CLOSE_SESSION);
                out.put_u64_le(*session);
            }
            Item::SeedSettings { settings } => {
                out.put_u8(KIND_SEED_SETTINGS);
                out.put_u32_le(u32::try_from(settings.len()).expect("settings are small"));
                out.put_slice(settings);
            }
            Item::NoteRemoval { node_id, removal } => {
                out.put_u8(KIND_NOTE_REMOVAL);
                out.put_u64_le(*node_id);
                out.put_u8(removal_code(*removal));
            }
            Item::Tick => out.put_u8(KIND_TICK),
            Item::DigestMark => out.put_u8(KIND_DIGEST_MARK),
            Item::DigestReport {
                node_id,
                mark,
                digests,
            } => {
                out.put_u8(KIND_DIGEST_REPORT);
                out.put_u64_le(*node_id);
                out.put_u64_le(*mark);
                out.put_u16_le(u16::try_from(digests.len()).expect("states have few parts"));
                for (part, digest) in digests {
                    out.put_u32_le(u32::try_from(part.len()).expect("names are short"));
                    out.put_slice(part);
                    out.put_u64_le(*digest);
                }
            }
            Item::ClearPanics { service, method } => {
                out.put_u8(KIND_CLEAR_PANICS);
                for name in [service, method] {
                    out.put_u32_le(u32::try_from(name.len()).expect("names are short"));
                    out.put_slice(name);
                }
            }
            Item::SkipPanicked { index, ordinal } => {
                out.put_u8(KIND_SKIP_PANICKED);
                out.put_u64_le(*index);
                out.put_u32_le(*ordinal);
            }
            Item::ActivateVersions { versions } => {
                out.put_u8(KIND_ACTIVATE);
                out.put_u32_le(u32::try_from(versions.len()).expect("services are few"));
                out.put_slice(versions);
            }
            Item::ChangeSettings { changes } => {
                out.put_u8(KIND_CHANGE_SETTINGS);
                out.put_u32_le(u32::try_from(changes.len()).expect("settings are small"));
                out.put_slice(changes);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn items(&self) -> u32 {
        self.items
    }

    pub(crate) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// Reads an entry item by item, without copying payloads.
#[derive(Debug)]
pub(crate) struct EntryReader {
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    total: usize,
    rest: Bytes,
}

impl EntryReader {
    pub(crate) fn new(mut bytes: Bytes) -> Result<Self, ReadEntryError> {
        let total = bytes.len();
        if total > 0 && bytes[0] != FORMAT {
            return Err(ReadEntryError::Newer { found: bytes[0] });
        }
        if total < HEADER_BYTES {
            return Err(ReadEntryError::Short { at: total });
        }
        bytes.advance(1);
        let time = Duration::from_nanos(bytes.get_u64_le());
        let seed = bytes.get_u64_le();
        Ok(EntryReader {
            time,
            seed,
            total,
            rest: bytes,
        })
    }

    fn at(&self) -> usize {
        self.total - self.rest.len()
    }

    fn need(&self, count: usize) -> Result<(), ReadEntryError> {
        if self.rest.len() < count {
            return Err(ReadEntryError::Short { at: self.total });
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u64, ReadEntryError> {
        self.need(8)?;
        Ok(self.rest.get_u64_le())
    }

    fn slice(&mut self, length: usize) -> Result<Bytes, ReadEntryError> {
        self.need(length)?;
        Ok(self.rest.split_to(length))
    }

    fn name(&mut self) -> Result<Bytes, ReadEntryError> {
        self.need(2)?;
        let length = self.rest.get_u16_le() as usize;
        self.slice(length)
    }

    fn payload(&mut self) -> Result<Bytes, ReadEntryError> {
        self.need(4)?;
        let length = self.rest.get_u32_le() as usize;
        self.slice(length)
    }

    /// The next item; `None` after the last.
    pub(crate) fn next_item(&mut self) -> Result<Option<Item>, ReadEntryError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.at();
        let item = match self.rest.get_u8() {
            kind @ (KIND_COMMAND | KIND_FENCED_COMMAND | KIND_KEYED_COMMAND) => {
                let fence = match kind {
                    KIND_COMMAND => None,
                    _ => NonZeroU64::new(self.number()?),
                };
                if kind == KIND_FENCED_COMMAND && fence.is_none() {
                    return Err(ReadEntryError::NoTerm { at });
                }
                let key = if kind == KIND_KEYED_COMMAND {
                    Some(self.name()?)
                } else {
                    None
                };
                let session = self.number()?;
                let sequence = self.number()?;
                let responded_to = self.number()?;
                let service = self.name()?;
                let payload = self.payload()?;
                Item::Command {
                    session,
                    sequence,
                    responded_to,
                    fence,
                    key,
                    service,
                    payload,
                }
            }
            KIND_OPEN_SESSION => Item::OpenSession,
            KIND_CLOSE_SESSION => Item::CloseSession {
                session: self.number()?,
            },
            KIND_SEED_SETTINGS => Item::SeedSettings {
                settings: self.payload()?,
            },
            KIND_NOTE_REMOVAL => {
                let node_id = self.number()?;
                self.need(1)?;
                let code = self.rest.get_u8();
                let known = REMOVALS.iter().find(|(known, _)| *known == code);
                let removal = known.ok_or(ReadEntryError::UnknownRemoval { code })?.1;
                Item::NoteRemoval { node_id, removal }
            }
            KIND_TICK => Item::Tick,
            KIND_DIGEST_MARK => Item::DigestMark,
            KIND_DIGEST_REPORT => {
                let node_id = self.number()?;
                let mark = self.number()?;
                self.need(2)?;
                let parts = self.rest.get_u16_le();
                let mut digests = Vec::new();
                for _ in 0..parts {
                    digests.push((self.payload()?, self.number()?));
                }
                Item::DigestReport {
                    node_id,
                    mark,
                    digests,
                }
            }
            KIND_CLEAR_PANICS => Item::ClearPanics {
                service: self.payload()?,
                method: self.payload()?,
            },
            KIND_SKIP_PANICKED => {
                let index = self.number()?;
                self.need(4)?;
                let ordinal = self.rest.get_u32_le();
                Item::SkipPanicked { index, ordinal }
            }
            KIND_ACTIVATE => Item::ActivateVersions {
                versions: self.payload()?,
            },
            KIND_CHANGE_SETTINGS => Item::ChangeSettings {
                changes: self.payload()?,
            },
            kind => return Err(ReadEntryError::UnknownItem { kind, at }),
        };
        Ok(Some(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Item> {
        vec![
            Item::OpenSession,
            Item::Command {
                session: 7,
                sequence: 8,
                responded_to: 6,
                fence: None,
                key: None,
                service: Bytes::from_static(b"Counter"),
                payload: Bytes::from_static(b"\x81"),
            },
            Item::Command {
                session: 7,
                sequence: 9,
                responded_to: 6,
                fence: NonZeroU64::new(3),
                key: None,
                service: Bytes::from_static(b"Counter"),
                payload: Bytes::from_static(b"\x82"),
            },
            Item::Command {
                session: 7,
                sequence: 10,
                responded_to: 6,
                fence: None,
                key: Some(Bytes::from_static(b"key")),
                service: Bytes::from_static(b"Counter"),
                payload: Bytes::from_static(b"\x82"),
            },
            Item::Command {
                session: 7,
                sequence: 11,
                responded_to: 6,
                fence: NonZeroU64::new(3),
                key: Some(Bytes::from_static(b"key")),
                service: Bytes::from_static(b"Counter"),
                payload: Bytes::from_static(b"\x82"),
            },
            Item::CloseSession { session: 7 },
            Item::SeedSettings {
                settings: Bytes::from_static(b"x"),
            },
            Item::NoteRemoval {
                node_id: 9,
                removal: Removal::Operator,
            },
            Item::Tick,
            Item::DigestMark,
            Item::DigestReport {
                node_id: 9,
                mark: 60,
                digests: vec![
                    (Bytes::from_static(b"Counter"), 5),
                    (Bytes::from_static(b"sessions"), u64::MAX),
                ],
            },
            Item::ClearPanics {
                service: Bytes::from_static(b"Counter"),
                method: Bytes::from_static(b"add"),
            },
            Item::SkipPanicked {
                index: 70,
                ordinal: 3,
            },
            Item::ActivateVersions {
                versions: Bytes::from_static(b"y"),
            },
            Item::ChangeSettings {
                changes: Bytes::from_static(b"{}"),
            },
        ]
    }

    fn written() -> Bytes {
        let mut writer = EntryWriter::new(Duration::from_nanos(5), 9);
        items().iter().for_each(|item| writer.push(item));
        assert_eq!(writer.items() as usize, items().len());
        writer.finish()
    }

    fn read(bytes: Bytes) -> Result<Vec<Item>, ReadEntryError> {
        let mut reader = EntryReader::new(bytes)?;
        let mut items = Vec::new();
        while let Some(item) = reader.next_item()? {
            items.push(item);
        }
        Ok(items)
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let reader = EntryReader::new(written()).unwrap();
        assert_eq!((reader.time, reader.seed), (Duration::from_nanos(5), 9));
        assert_eq!(read(written()).unwrap(), items());
    }

    #[test]
    fn an_entry_cut_anywhere_is_refused_or_ends_between_items() {
        let whole = written();
        for length in 0..whole.len() {
            if let Ok(read) = read(whole.slice(..length)) {
                assert_eq!(read, items()[..read.len()]);
            }
        }
    }

    #[test]
    fn a_newer_layout_and_an_unknown_item_are_refused() {
        let mut bytes = written().to_vec();
        bytes[0] = 2;
        assert_eq!(
            read(bytes.clone().into()),
            Err(ReadEntryError::Newer { found: 2 })
        );
        bytes[0] = 1;
        bytes[HEADER_BYTES] = 99;
        let unknown = ReadEntryError::UnknownItem {
            kind: 99,
            at: HEADER_BYTES,
        };
        assert_eq!(read(bytes.into()), Err(unknown));
    }
}
