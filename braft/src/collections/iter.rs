//! Passes over a map that leave it as it is.

use std::iter::FusedIterator;
use std::ops::Range;

use super::node::{Entry, Inner, Kind, Node};

/// One place in a tree.
struct Cursor<'a, K, V> {
    /// The way down: each node with the child that was taken.
    way: Vec<(&'a Inner<K, V>, usize)>,
    leaf: &'a [Entry<K, V>],
    at: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    /// At the entry with this many before it, which must be there.
    fn new(root: &'a Node<K, V>, mut position: usize) -> Self {
        let mut way = Vec::new();
        let mut node = root;
        loop {
            match &node.kind {
                Kind::Leaf(leaf) => {
                    let at = position;
                    return Cursor { way, leaf, at };
                }
                Kind::Inner(inner) => {
                    let mut child = 0;
                    while position >= inner.children[child].len() {
                        position -= inner.children[child].len();
                        child += 1;
                    }
                    way.push((inner, child));
                    node = &inner.children[child];
                }
            }
        }
    }

    fn entry(&self) -> &'a Entry<K, V> {
        &self.leaf[self.at]
    }

    /// To the next entry, which must be there.
    fn forward(&mut self) {
        self.at += 1;
        if self.at < self.leaf.len() {
            return;
        }
        while let Some((inner, child)) = self.way.pop() {
            if child + 1 < inner.children.len() {
                self.way.push((inner, child + 1));
                break;
            }
        }
        self.descend(|_| 0);
        self.at = 0;
    }

    /// To the entry before, which must be there.
    fn back(&mut self) {
        if self.at > 0 {
            self.at -= 1;
            return;
        }
        while let Some((inner, child)) = self.way.pop() {
            if child > 0 {
                self.way.push((inner, child - 1));
                break;
            }
        }
        self.descend(|inner| inner.children.len() - 1);
        self.at = self.leaf.len() - 1;
    }

    fn descend(&mut self, choose: impl Fn(&Inner<K, V>) -> usize) {
        let Some((inner, child)) = self.way.last() else {
            unreachable!("there is a further entry");
        };
        let mut node = &inner.children[*child];
        loop {
            match &node.kind {
                Kind::Leaf(leaf) => {
                    self.leaf = leaf;
                    return;
                }
                Kind::Inner(inner) => {
                    let child = choose(inner);
                    self.way.push((inner, child));
                    node = &inner.children[child];
                }
            }
        }
    }
}

/// Entries of a [`Map`](super::Map) in order.
pub struct Iter<'a, K, V> {
    /// Both are there while there are entries left.
    ends: Option<(Cursor<'a, K, V>, Cursor<'a, K, V>)>,
    left: usize,
}

impl<'a, K, V> Iter<'a, K, V> {
    /// The entries at these positions.
    pub(super) fn new(root: &'a Node<K, V>, positions: Range<usize>) -> Self {
        let left = positions.len();
        let cursor = |position| Cursor::new(root, position);
        Iter {
            ends: (left > 0).then(|| (cursor(positions.start), cursor(positions.end - 1))),
            left,
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (front, _) = self.ends.as_mut()?;
        let entry = front.entry();
        if self.left > 0 {
            front.forward();
        }
        Some((&entry.key, &entry.value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (_, back) = self.ends.as_mut()?;
        let entry = back.entry();
        if self.left > 0 {
            back.back();
        }
        Some((&entry.key, &entry.value))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

macro_rules! half {
    ($(#[$doc:meta])* $name:ident, $item:ident, $pick:expr) => {
        $(#[$doc])*
        pub struct $name<'a, K, V>(pub(super) Iter<'a, K, V>);

        impl<'a, K, V> Iterator for $name<'a, K, V> {
            type Item = &'a $item;

            fn next(&mut self) -> Option<Self::Item> {
                self.0.next().map($pick)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl<K, V> DoubleEndedIterator for $name<'_, K, V> {
            fn next_back(&mut self) -> Option<Self::Item> {
                self.0.next_back().map($pick)
            }
        }

        impl<K, V> ExactSizeIterator for $name<'_, K, V> {}
        impl<K, V> FusedIterator for $name<'_, K, V> {}
    };
}

half!(
    /// Keys of a [`Map`](super::Map) in order.
    Keys, K, |(key, _)| key
);
half!(
    /// Values of a [`Map`](super::Map) in the order of their keys.
    Values, V, |(_, value)| value
);
