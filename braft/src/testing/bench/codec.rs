//! Values, entries and digests.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::entry::{EntryReader, EntryWriter, Item};
use crate::machine::digest_of;

/// A value as MessagePack, as calls, answers and states are written.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    codec::encode(value).expect("it has a form")
}

/// The value in these bytes, read as strictly as a node does.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    codec::decode(bytes).expect("it was written by us")
}

/// The digest of a state, as replicas compare it.
pub fn digest<T: Serialize>(state: &T) -> u64 {
    digest_of(state).expect("it has a form")
}

/// A log entry that holds these commands, numbered from `first` on.
pub fn write_entry(service: &'static str, session: u64, first: u64, payloads: &[Bytes]) -> Bytes {
    let mut entry = EntryWriter::new(Duration::from_secs(1), 1);
    for (sequence, payload) in (first..).zip(payloads) {
        entry.push(&Item::Command {
            session,
            sequence,
            responded_to: first - 1,
            fence: None,
            key: None,
            service: Bytes::from_static(service.as_bytes()),
            payload: payload.clone(),
        });
    }
    entry.finish()
}

/// Reads an entry to its end; how many bytes of commands it holds.
pub fn read_entry(entry: Bytes) -> usize {
    let mut reader = EntryReader::new(entry).expect("it was written by us");
    let mut bytes = 0;
    while let Some(item) = reader.next_item().expect("it was written by us") {
        if let Item::Command { payload, .. } = item {
            bytes += payload.len();
        }
    }
    bytes
}
