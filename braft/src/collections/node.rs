//! The tree behind a map: a B+ tree whose nodes are shared by clones of the map.
//!
//! A change copies the nodes on its way that another clone shares, and no others. Each node keeps
//! the digest of what is below it until that changes.

use std::borrow::Borrow;
use std::sync::Arc;

use super::digest::Cached;

/// Entries of a leaf: few, since the first change after a clone copies a leaf's keys and values.
const MAX_ENTRIES: usize = 16;
/// Children of an inner node.
const MAX_CHILDREN: usize = 32;
/// A node with less than this part of its maximum is joined with a neighbour.
const THIN: usize = 4;
/// What the places of a node that grows are a multiple of. Doubling would leave a third of all places
/// empty for good: most nodes are a little more than half full.
const STEP: usize = 4;
/// A search in a node looks at each of so many keys, and then at those between two of them.
const STRIDE: usize = 4;

#[derive(Clone)]
pub(super) struct Entry<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    pub(super) digest: Cached,
}

#[derive(Clone)]
pub(super) struct Node<K, V> {
    pub(super) kind: Kind<K, V>,
    pub(super) digest: Cached,
}

#[derive(Clone)]
pub(super) enum Kind<K, V> {
    Leaf(Vec<Entry<K, V>>),
    Inner(Inner<K, V>),
}

/// Child `i` holds the keys from `keys[i - 1]` up to, and without, `keys[i]`.
pub(super) struct Inner<K, V> {
    pub(super) keys: Vec<K>,
    pub(super) children: Vec<Arc<Node<K, V>>>,
    /// Entries below this node.
    pub(super) len: usize,
}

// Written out: the values below are shared, not cloned.
impl<K: Clone, V> Clone for Inner<K, V> {
    fn clone(&self) -> Self {
        Inner {
            keys: self.keys.clone(),
            children: self.children.clone(),
            len: self.len,
        }
    }
}

/// The right half of a node that was split, and the first key it may hold.
type Split<K, V> = Option<(K, Arc<Node<K, V>>)>;

impl<K, V> Node<K, V> {
    pub(super) fn new(kind: Kind<K, V>) -> Self {
        Node {
            kind,
            digest: Cached::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.kind {
            Kind::Leaf(entries) => entries.len(),
            Kind::Inner(inner) => inner.len,
        }
    }

    fn is_thin(&self) -> bool {
        match &self.kind {
            Kind::Leaf(entries) => entries.len() < MAX_ENTRIES / THIN,
            Kind::Inner(inner) => inner.children.len() < MAX_CHILDREN / THIN,
        }
    }
}

impl<K: Ord, V> Node<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let mut node = self;
        loop {
            match &node.kind {
                Kind::Inner(inner) => node = &inner.children[inner.child(key)],
                Kind::Leaf(entries) => {
                    let entry = &entries[find(entries, key).ok()?];
                    return Some((&entry.key, &entry.value));
                }
            }
        }
    }

    /// How many entries come before the first one that `is_in`, which holds for none and then for
    /// all of the keys in order.
    pub(super) fn position(&self, is_in: impl Fn(&K) -> bool) -> usize {
        let mut node = self;
        let mut before = 0;
        loop {
            match &node.kind {
                Kind::Inner(inner) => {
                    let child = inner.keys.partition_point(|key| !is_in(key));
                    before += inner.children[..child]
                        .iter()
                        .map(|child| child.len())
                        .sum::<usize>();
                    node = &inner.children[child];
                }
                Kind::Leaf(entries) => {
                    return before + entries.partition_point(|entry| !is_in(&entry.key));
                }
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    /// The node to be changed: a copy if a clone of the map shares it.
    pub(super) fn own(node: &mut Arc<Self>) -> &mut Self {
        let node = Arc::make_mut(node);
        node.digest.forget();
        node
    }

    /// The value of a key that is there.
    pub(super) fn get_mut<'a, Q: Ord + ?Sized>(
        mut node: &'a mut Arc<Self>,
        key: &Q,
    ) -> Option<&'a mut V>
    where
        K: Borrow<Q>,
    {
        loop {
            match &mut Self::own(node).kind {
                Kind::Inner(inner) => {
                    let child = inner.child(key);
                    node = &mut inner.children[child];
                }
                Kind::Leaf(entries) => {
                    let at = find(entries, key).ok()?;
                    let entry = &mut entries[at];
                    entry.digest.forget();
                    return Some(&mut entry.value);
                }
            }
        }
    }

    /// Puts an entry in; gives back the value it replaces.
    pub(super) fn insert(root: &mut Arc<Self>, key: K, value: V) -> Option<V> {
        let (old, split) = Self::insert_below(root, key, value);
        if let Some((key, right)) = split {
            let len = root.len() + right.len();
            let left = root.clone();
            *root = Arc::new(Node::new(Kind::Inner(Inner {
                keys: vec![key],
                children: vec![left, right],
                len,
            })));
        }
        old
    }

    fn insert_below(node: &mut Arc<Self>, key: K, value: V) -> (Option<V>, Split<K, V>) {
        match &mut Self::own(node).kind {
            Kind::Leaf(entries) => match find(entries, &key) {
                Ok(at) => {
                    entries[at].digest.forget();
                    (Some(std::mem::replace(&mut entries[at].value, value)), None)
                }
                Err(at) => {
                    let digest = Cached::default();
                    (
                        None,
                        insert_in_leaf(entries, at, Entry { key, value, digest }),
                    )
                }
            },
            Kind::Inner(inner) => {
                let child = inner.child(&key);
                let (old, split) = Self::insert_below(&mut inner.children[child], key, value);
                inner.len += usize::from(old.is_none());
                if let Some((key, right)) = split {
                    put(&mut inner.keys, child, key);
                    put(&mut inner.children, child + 1, right);
                }
                (old, inner.split())
            }
        }
    }

    /// Takes an entry out that is there.
    pub(super) fn remove<Q: Ord + ?Sized>(root: &mut Arc<Self>, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let removed = Self::remove_below(root, key);
        if let Kind::Inner(inner) = &root.kind
            && inner.children.len() == 1
        {
            *root = inner.children[0].clone();
        }
        removed
    }

    fn remove_below<Q: Ord + ?Sized>(node: &mut Arc<Self>, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        match &mut Self::own(node).kind {
            Kind::Leaf(entries) => {
                let at = find(entries, key).ok()?;
                let Entry { key, value, .. } = entries.remove(at);
                Some((key, value))
            }
            Kind::Inner(inner) => {
                let child = inner.child(key);
                let removed = Self::remove_below(&mut inner.children[child], key);
                inner.len -= usize::from(removed.is_some());
                if inner.children[child].is_thin() {
                    inner.join(child);
                }
                removed
            }
        }
    }
}

impl<K: Ord, V> Inner<K, V> {
    /// The child in which a key is, if it is.
    fn child<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        passed(&self.keys, |first| first.borrow().cmp(key).is_le())
    }
}

impl<K, V> Inner<K, V> {
    fn split(&mut self) -> Split<K, V> {
        if self.children.len() <= MAX_CHILDREN {
            return None;
        }
        let middle = self.children.len() / 2;
        let children = take_right(&mut self.children, middle);
        let keys = take_right(&mut self.keys, middle);
        let first = self
            .keys
            .pop()
            .expect("there is a key between two children");
        let len = children.iter().map(|child| child.len()).sum();
        self.len -= len;
        let right = Inner {
            keys,
            children,
            len,
        };
        Some((first, Arc::new(Node::new(Kind::Inner(right)))))
    }
}

impl<K: Ord + Clone, V: Clone> Inner<K, V> {
    /// Joins a child with a neighbour, and parts them again in the middle if that is too much for
    /// one node.
    fn join(&mut self, child: usize) {
        if self.children.len() < 2 {
            return;
        }
        let left = child.saturating_sub(1);
        let first = self.keys.remove(left);
        let right = Arc::unwrap_or_clone(self.children.remove(left + 1));
        let node = Node::own(&mut self.children[left]);
        let split = match (&mut node.kind, right.kind) {
            (Kind::Leaf(entries), Kind::Leaf(right)) => {
                append(entries, right);
                let middle = entries.len() / 2;
                (entries.len() > MAX_ENTRIES).then(|| leaf(take_right(entries, middle)))
            }
            (Kind::Inner(inner), Kind::Inner(right)) => {
                put(&mut inner.keys, inner.children.len() - 1, first);
                append(&mut inner.keys, right.keys);
                append(&mut inner.children, right.children);
                inner.len += right.len;
                inner.split()
            }
            _ => unreachable!("all leaves are at one depth"),
        };
        if let Some((first, right)) = split {
            self.keys.insert(left, first);
            self.children.insert(left + 1, right);
        }
    }
}

/// Puts an entry in at its place. A leaf that is full is split first.
fn insert_in_leaf<K: Clone, V>(
    entries: &mut Vec<Entry<K, V>>,
    at: usize,
    entry: Entry<K, V>,
) -> Split<K, V> {
    if entries.len() < MAX_ENTRIES {
        put(entries, at, entry);
        return None;
    }
    // Ascending keys leave full leaves behind.
    if at == MAX_ENTRIES {
        return Some(leaf(vec![entry]));
    }
    let middle = MAX_ENTRIES / 2;
    let mut right = take_right(entries, middle);
    if at <= middle {
        put(entries, at, entry);
    } else {
        put(&mut right, at - middle, entry);
    }
    Some(leaf(right))
}

/// Takes what is from a place on out of a node.
fn take_right<T>(items: &mut Vec<T>, from: usize) -> Vec<T> {
    let right = items.split_off(from);
    items.shrink_to_fit();
    right
}

/// A leaf, and the first key it holds.
fn leaf<K: Clone, V>(entries: Vec<Entry<K, V>>) -> (K, Arc<Node<K, V>>) {
    let first = entries[0].key.clone();
    (first, Arc::new(Node::new(Kind::Leaf(entries))))
}

fn put<T>(items: &mut Vec<T>, at: usize, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact(STEP - items.len() % STEP);
    }
    items.insert(at, item);
}

fn append<T>(items: &mut Vec<T>, more: Vec<T>) {
    items.reserve_exact(more.len());
    items.extend(more);
}

fn find<K: Borrow<Q>, V, Q: Ord + ?Sized>(
    entries: &[Entry<K, V>],
    key: &Q,
) -> Result<usize, usize> {
    let at = passed(entries, |entry| entry.key.borrow().cmp(key).is_lt());
    match entries.get(at) {
        Some(entry) if entry.key.borrow().cmp(key).is_eq() => Ok(at),
        _ => Err(at),
    }
}

/// How many items come before the first that is not passed: it holds for some, then for no more.
///
/// Of few items this is quicker than to halve them. Keys lie anywhere in memory; which ones are looked
/// at next can be told in advance here, so the processor fetches them all at once.
fn passed<T>(items: &[T], is_passed: impl Fn(&T) -> bool) -> usize {
    let mut from = 0;
    while let Some(item) = items.get(from + STRIDE - 1)
        && is_passed(item)
    {
        from += STRIDE;
    }
    let rest = items[from..].iter();
    from + rest.take_while(|item| is_passed(item)).count()
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Node::new(Kind::Leaf(Vec::new()))
    }
}
