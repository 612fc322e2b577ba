//! The collections against those of the standard library, and what these cannot do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use proptest::prelude::*;

use super::node::{Kind, Node};
use super::*;
use crate::codec;

/// Keys are few enough to be met again, and many enough for three levels.
const KEYS: u16 = 1500;

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u32),
    Remove(u16),
    Change(u16, u32),
    Entry(u16, u32),
    Pop(bool),
    ChangeAll(u32),
    Retain(u16),
    Fill(u16, u16),
    Empty(u16, u16),
    Freeze,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        8 => (key.clone(), any::<u32>()).prop_map(|(k, v)| Step::Insert(k, v)),
        8 => key.clone().prop_map(Step::Remove),
        4 => (key.clone(), any::<u32>()).prop_map(|(k, v)| Step::Change(k, v)),
        4 => (key.clone(), any::<u32>()).prop_map(|(k, v)| Step::Entry(k, v)),
        2 => any::<bool>().prop_map(Step::Pop),
        1 => any::<u32>().prop_map(Step::ChangeAll),
        1 => (2..50_u16).prop_map(Step::Retain),
        3 => (key.clone(), 1..400_u16).prop_map(|(k, n)| Step::Fill(k, n)),
        3 => (key, 1..400_u16).prop_map(|(k, n)| Step::Empty(k, n)),
        2 => Just(Step::Freeze),
    ]
}

type Model = BTreeMap<u16, u32>;

fn take(step: &Step, map: &mut Map<u16, u32>, model: &mut Model) {
    match *step {
        Step::Insert(k, v) => assert_eq!(map.insert(k, v), model.insert(k, v)),
        Step::Remove(k) => assert_eq!(map.remove(&k), model.remove(&k)),
        Step::Change(k, v) => {
            assert_eq!(map.get_mut(&k), model.get_mut(&k));
            if let (Some(a), Some(b)) = (map.get_mut(&k), model.get_mut(&k)) {
                (*a, *b) = (v, v);
            }
        }
        Step::Entry(k, v) => {
            let a = map.entry(k).and_modify(|x| *x ^= v).or_insert(v);
            let b = model.entry(k).and_modify(|x| *x ^= v).or_insert(v);
            assert_eq!(a, b);
        }
        Step::Pop(true) => assert_eq!(map.pop_first(), model.pop_first()),
        Step::Pop(false) => assert_eq!(map.pop_last(), model.pop_last()),
        Step::ChangeAll(v) => {
            map.values_mut().for_each(|x| *x = x.wrapping_add(v));
            model.values_mut().for_each(|x| *x = x.wrapping_add(v));
        }
        Step::Retain(n) => {
            map.retain(|k, _| k % n != 0);
            model.retain(|k, _| k % n != 0);
        }
        Step::Fill(from, n) => {
            for k in from..(from + n).min(KEYS) {
                assert_eq!(map.insert(k, k.into()), model.insert(k, k.into()));
            }
        }
        Step::Empty(from, n) => {
            for k in from..from + n {
                assert_eq!(map.remove(&k), model.remove(&k));
            }
        }
        Step::Freeze => {}
    }
}

/// Checks the shape of the tree; returns its depth.
fn check<K: Ord, V>(node: &Node<K, V>, is_root: bool) -> usize {
    match &node.kind {
        Kind::Leaf(entries) => {
            assert!(is_root || !entries.is_empty());
            assert!(entries.len() <= 16);
            1
        }
        Kind::Inner(inner) => {
            assert_eq!(inner.keys.len() + 1, inner.children.len());
            assert!((2..=32).contains(&inner.children.len()));
            assert_eq!(
                inner.len,
                inner
                    .children
                    .iter()
                    .map(|child| child.len())
                    .sum::<usize>()
            );
            let depths: BTreeSet<_> = inner
                .children
                .iter()
                .map(|child| check(child, false))
                .collect();
            assert_eq!(depths.len(), 1, "all leaves are at one depth");
            depths.into_iter().next().unwrap_or(0) + 1
        }
    }
}

fn digest(map: &Map<u16, u32>) -> u64 {
    map.root().digest().expect("numbers can be encoded")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn behaves_like_a_btree_map_and_frozen_copies_stay(
        steps in prop::collection::vec(step(), 1..120),
        (from, to) in (0..KEYS, 0..KEYS),
    ) {
        let mut map = Map::new();
        let mut model = Model::new();
        let mut frozen = Vec::new();
        for step in &steps {
            take(step, &mut map, &mut model);
            if matches!(step, Step::Freeze) {
                digest(&map);
                frozen.push((map.clone(), model.clone()));
            }
            prop_assert_eq!(map.len(), model.len());
        }
        frozen.push((map, model));
        for (map, model) in &frozen {
            check(map.root(), true);
            prop_assert!(map.iter().eq(model));
            prop_assert!(map.iter().rev().eq(model.iter().rev()));
            prop_assert!(map.clone().into_iter().eq(model.clone()));
            prop_assert_eq!(map.first_key_value(), model.first_key_value());
            prop_assert_eq!(map.last_key_value(), model.last_key_value());
            prop_assert!((0..KEYS).all(|key| map.get(&key) == model.get(&key)));
            let (from, to) = (from.min(to), from.max(to));
            prop_assert!(map.range(from..to).eq(model.range(from..to)));
            prop_assert!(map.range(from..=to).rev().eq(model.range(from..=to).rev()));
            let after = (Bound::Excluded(from), Bound::Unbounded);
            prop_assert!(map.range(after).eq(model.range(after)));
            let fresh: Map<_, _> = model.iter().rev().map(|(k, v)| (*k, *v)).collect();
            prop_assert_eq!(&fresh, map);
            prop_assert_eq!(digest(&fresh), digest(map), "the digest is one of content alone");
        }
    }

    #[test]
    fn both_ends_of_an_iterator_meet(len in 0..200_u16, turns in prop::collection::vec(any::<bool>(), 220)) {
        let map: Map<_, _> = (0..len).map(|key| (key, ())).collect();
        let model: BTreeMap<_, _> = (0..len).map(|key| (key, ())).collect();
        let (mut a, mut b) = (map.iter(), model.iter());
        for front in turns {
            prop_assert_eq!(a.len(), b.len());
            if front {
                prop_assert_eq!(a.next(), b.next());
            } else {
                prop_assert_eq!(a.next_back(), b.next_back());
            }
        }
    }
}

/// Places of all nodes, and how many of them are empty.
fn places<K, V>(node: &Node<K, V>) -> (usize, usize) {
    match &node.kind {
        Kind::Leaf(entries) => (entries.capacity(), entries.capacity() - entries.len()),
        Kind::Inner(inner) => {
            let children = &inner.children;
            let own = (children.capacity(), children.capacity() - children.len());
            children.iter().fold(own, |(all, empty), child| {
                let below = places(child);
                (all + below.0, empty + below.1)
            })
        }
    }
}

#[test]
fn few_places_of_a_node_are_empty_in_whatever_order_its_keys_came() {
    let ascending: Map<u32, ()> = (0..10_000).map(|key| (key, ())).collect();
    let descending: Map<u32, ()> = (0..10_000).rev().map(|key| (key, ())).collect();
    let scattered: Map<u32, ()> = (0..10_000).map(|key| (key * 7919 % 10_007, ())).collect();
    for (map, most) in [(ascending, 1), (descending, 20), (scattered, 20)] {
        let (all, empty) = places(map.root());
        assert!(empty * 100 <= all * most, "{empty} of {all} places");
    }
}

#[test]
fn a_range_that_ends_before_it_starts_is_empty() {
    let map: Map<_, _> = (0..100).map(|key| (key, key)).collect();
    let (from, to) = (60, 40);
    assert_eq!(map.range(from..to).count(), 0);
}

#[test]
fn is_encoded_like_the_standard_collections() {
    let entries: BTreeMap<String, u32> = (0..300).map(|n| (format!("key {n}"), n)).collect();
    let map = Map::from(entries.clone());
    let bytes = codec::encode(&map).unwrap();
    assert_eq!(bytes, codec::encode(&entries).unwrap());
    assert_eq!(codec::decode::<Map<String, u32>>(&bytes).unwrap(), map);

    let values: BTreeSet<u32> = (0..300).collect();
    let set = Set::from(values.clone());
    let bytes = codec::encode(&set).unwrap();
    assert_eq!(bytes, codec::encode(&values).unwrap());
    assert_eq!(codec::decode::<Set<u32>>(&bytes).unwrap(), set);
}

#[test]
fn is_printed_like_the_standard_collections() {
    let entries = [(2, "b"), (1, "a")];
    assert_eq!(
        format!("{:?}", Map::from(entries)),
        format!("{:?}", BTreeMap::from(entries))
    );
    assert_eq!(
        format!("{:?}", Set::from([2, 1])),
        format!("{:?}", BTreeSet::from([2, 1]))
    );
}

#[test]
fn a_set_keeps_its_values_once_and_in_order() {
    let mut set: Set<u32> = (0..100).rev().collect();
    assert!(!set.insert(50) && set.insert(100));
    assert!(set.remove(&0) && !set.remove(&0));
    assert!(set.iter().copied().eq(1..=100));
    assert!(set.range(10..20).copied().eq(10..20));
    set.retain(|value| value % 2 == 0);
    assert!(set.is_subset(&(0..=100).collect()) && set.is_disjoint(&Set::from([1, 3])));
    assert!(set.intersection(&Set::from([1, 2, 4])).eq(&[2, 4]));
    assert_eq!((set.pop_first(), set.pop_last()), (Some(2), Some(100)));
}

#[test]
fn a_change_after_a_freeze_copies_its_way_and_no_more() {
    let mut map: Map<u32, Arc<()>> = (0..10_000).map(|key| (key, Arc::default())).collect();
    let frozen = map.clone();
    let copied = |map: &Map<u32, Arc<()>>| {
        map.values()
            .filter(|value| Arc::strong_count(value) > 1)
            .count()
    };
    assert_eq!(copied(&map), 0, "a clone copies nothing");
    map.insert(5_000, Arc::default());
    assert!(copied(&map) < 16, "{}", copied(&map));
    assert_eq!(map.get_mut(&20_000), None);
    assert_eq!(map.remove(&20_000), None);
    assert!(copied(&map) < 16, "what is not there copies nothing");
    drop(frozen);
    assert_eq!(copied(&map), 0);
}

#[test]
fn the_digest_sees_every_change_of_a_value_at_any_depth() {
    let digest = |map: &Map<u8, Map<u8, String>>| map.root().digest().unwrap();
    let mut map: Map<u8, Map<u8, String>> = Map::new();
    for key in 0..100 {
        map.entry(key / 10).or_default().insert(key, String::new());
    }
    let before = digest(&map);
    let copy = map.clone();
    map.get_mut(&3).unwrap().get_mut(&33).unwrap().push('x');
    let after = digest(&map);
    assert_ne!(before, after);
    assert_eq!(digest(&copy), before);
    map.get_mut(&3).unwrap().get_mut(&33).unwrap().pop();
    assert_eq!(digest(&map), before);
    for (_, inner) in &mut map {
        for (_, text) in inner {
            text.push('y');
        }
    }
    assert_ne!(digest(&map), before);
    assert_ne!(
        Map::from([(1, 2)]).root().digest().unwrap(),
        Map::from([(2, 1)]).root().digest().unwrap()
    );
}

#[test]
fn a_flattened_map_has_a_digest() {
    #[derive(serde::Serialize)]
    struct State {
        version: u8,
        #[serde(flatten)]
        rest: Map<String, u32>,
    }
    let digest = |value| {
        let state = State {
            version: 1,
            rest: Map::from([("a".to_owned(), value)]),
        };
        digest::instead_of_content(|| codec::encode(&state)).expect("has a form")
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn what_is_cheap_to_clone_is_found_out_by_type() {
    use super::freeze::{Freezing, NotCheap as _};
    assert_eq!(Freezing(&7_u64).freeze(), Some(7));
    assert!(Freezing(&Map::<u8, Vec<u8>>::new()).freeze().is_some());
    assert!(Freezing(&Some(String::new())).freeze().is_some());
    assert!(Freezing(&BTreeMap::<u8, u8>::new()).freeze().is_none());
    assert!(Freezing(&Vec::<u8>::new()).freeze().is_none());
    assert!(Freezing(&Some(Vec::<u8>::new())).freeze().is_none());
}
