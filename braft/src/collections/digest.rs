//! A hash of the content of a map that costs what has changed since the last one.
//!
//! The digest of a map is the sum of those of its entries, so it does not depend on the shape of
//! the tree, and equal maps have equal digests whatever their history. It is a check against
//! replicas that differ by mistake, not against somebody who looks for equal sums.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::node::{Kind, Node};
use crate::codec::{self, EncodeError};
use crate::siphash::siphash_2_4_128;

const KEY: [u64; 2] = [0x6272_6166_7420_6d61, 0x7020_6469_6765_7374];
/// Stands for a digest that is not known.
const UNKNOWN: u64 = 0;

/// A digest, once it is known. Threads that find it out at the same time find the same.
#[derive(Debug, Default)]
pub(super) struct Cached(AtomicU64);

impl Clone for Cached {
    fn clone(&self) -> Self {
        Cached(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

impl Cached {
    pub(super) fn forget(&mut self) {
        *self.0.get_mut() = UNKNOWN;
    }

    fn or_else(&self, find: impl FnOnce() -> Result<u64, EncodeError>) -> Result<u64, EncodeError> {
        match self.0.load(Ordering::Relaxed) {
            UNKNOWN => {
                let found = find()?;
                self.0.store(found, Ordering::Relaxed);
                Ok(found)
            }
            known => Ok(known),
        }
    }
}

thread_local! {
    static WANTED: Cell<bool> = const { Cell::new(false) };
}

/// Encodes something so that each map in it stands as its digest instead of its content.
pub(crate) fn instead_of_content<T>(encode: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            WANTED.set(self.0);
        }
    }
    let _before = Before(WANTED.replace(true));
    encode()
}

/// Whether maps encoded in this thread stand as their digests.
pub(super) fn is_wanted() -> bool {
    WANTED.get()
}

impl<K: Serialize, V: Serialize> Node<K, V> {
    /// The digest of all entries below.
    pub(super) fn digest(&self) -> Result<u64, EncodeError> {
        instead_of_content(|| self.sum(&mut Vec::new()))
    }

    fn sum(&self, buffer: &mut Vec<u8>) -> Result<u64, EncodeError> {
        self.digest.or_else(|| match &self.kind {
            Kind::Leaf(entries) => entries.iter().try_fold(0_u64, |sum, entry| {
                let find = || {
                    buffer.clear();
                    codec::encode_into(&(&entry.key, &entry.value), buffer)?;
                    Ok(siphash_2_4_128(KEY, buffer) as u64)
                };
                Ok(sum.wrapping_add(entry.digest.or_else(find)?))
            }),
            Kind::Inner(inner) => inner.children.iter().try_fold(0_u64, |sum, child| {
                Ok(sum.wrapping_add(Arc::as_ref(child).sum(buffer)?))
            }),
        })
    }
}
