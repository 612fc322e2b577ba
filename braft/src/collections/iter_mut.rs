//! Passes over a map that change or consume it.

use std::iter::FusedIterator;
use std::slice;
use std::sync::Arc;
use std::vec;

use super::node::{Entry, Kind, Node};

/// Entries of a [`Map`](super::Map) in order, with values that can be changed.
pub struct IterMut<'a, K, V> {
    /// What is to come at each depth.
    nodes: Vec<slice::IterMut<'a, Arc<Node<K, V>>>>,
    leaf: slice::IterMut<'a, Entry<K, V>>,
    left: usize,
}

impl<'a, K: Ord + Clone, V: Clone> IterMut<'a, K, V> {
    pub(super) fn new(root: &'a mut Arc<Node<K, V>>) -> Self {
        let left = root.len();
        IterMut {
            nodes: vec![slice::from_mut(root).iter_mut()],
            leaf: [].iter_mut(),
            left,
        }
    }
}

impl<'a, K: Ord + Clone, V: Clone> Iterator for IterMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                self.left -= 1;
                entry.digest.forget();
                return Some((&entry.key, &mut entry.value));
            }
            let Some(node) = self.nodes.last_mut()?.next() else {
                self.nodes.pop();
                continue;
            };
            match &mut Node::own(node).kind {
                Kind::Leaf(entries) => self.leaf = entries.iter_mut(),
                Kind::Inner(inner) => self.nodes.push(inner.children.iter_mut()),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Ord + Clone, V: Clone> ExactSizeIterator for IterMut<'_, K, V> {}
impl<K: Ord + Clone, V: Clone> FusedIterator for IterMut<'_, K, V> {}

/// Entries of a [`Map`](super::Map) in order, by value.
pub struct IntoIter<K, V> {
    nodes: Vec<vec::IntoIter<Arc<Node<K, V>>>>,
    leaf: vec::IntoIter<Entry<K, V>>,
    left: usize,
}

impl<K, V> IntoIter<K, V> {
    pub(super) fn new(root: Arc<Node<K, V>>) -> Self {
        let left = root.len();
        IntoIter {
            nodes: vec![vec![root].into_iter()],
            leaf: Vec::new().into_iter(),
            left,
        }
    }
}

impl<K: Clone, V: Clone> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(Entry { key, value, .. }) = self.leaf.next() {
                self.left -= 1;
                return Some((key, value));
            }
            let Some(node) = self.nodes.last_mut()?.next() else {
                self.nodes.pop();
                continue;
            };
            match Arc::unwrap_or_clone(node).kind {
                Kind::Leaf(entries) => self.leaf = entries.into_iter(),
                Kind::Inner(inner) => self.nodes.push(inner.children.into_iter()),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Clone, V: Clone> ExactSizeIterator for IntoIter<K, V> {}
impl<K: Clone, V: Clone> FusedIterator for IntoIter<K, V> {}
