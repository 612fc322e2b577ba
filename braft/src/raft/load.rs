//! What a node has admitted and not yet answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::drain::Drain;

/// Counts what is admitted, up to a number and a number of bytes.
#[derive(Debug)]
pub(super) struct Load {
    items: AtomicUsize,
    bytes: AtomicUsize,
    max_items: usize,
    max_bytes: usize,
    drain: Drain,
}

impl Load {
    pub(super) fn at_most(max_items: usize, max_bytes: usize) -> Arc<Self> {
        Arc::new(Load {
            items: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_items,
            max_bytes,
            drain: Drain::default(),
        })
    }

    pub(super) fn admit(&self, bytes: usize) -> bool {
        let items = self.items.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if items <= self.max_items && total <= self.max_bytes {
            return true;
        }
        self.release(1, bytes);
        false
    }

    /// Admits something that gives its place back when it is dropped.
    pub(super) fn place(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        self.admit(bytes).then(|| Place {
            load: Arc::clone(self),
            bytes,
        })
    }

    pub(super) fn release(&self, items: usize, bytes: usize) {
        self.items.fetch_sub(items, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// How fast it is worked off.
    pub(super) fn drain(&self) -> &Drain {
        &self.drain
    }

    /// The number of what is admitted, and its bytes.
    pub(super) fn under_way(&self) -> (usize, usize) {
        (self.items(), self.bytes.load(Ordering::Relaxed))
    }
}

/// The place of one admitted thing.
#[derive(Debug)]
pub(super) struct Place {
    load: Arc<Load>,
    bytes: usize,
}

impl Place {
    pub(super) fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.release(1, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_bytes_are_bounded_and_places_come_back() {
        let load = Load::at_most(2, 100);
        let first = load.place(90).unwrap();
        assert!(load.place(11).is_none());
        let second = load.place(10).unwrap();
        assert!(load.place(0).is_none());
        drop((first, second));
        assert_eq!(load.items(), 0);
        assert!(load.place(100).is_some());
    }
}
