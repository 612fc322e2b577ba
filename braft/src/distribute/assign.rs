//! Which item goes to whom.

use std::collections::{BTreeMap, BTreeSet};

/// The new owner of each item, given the old ones: even, sticky, and a function of its arguments.
///
/// The quota of each node is its count if the items were dealt out one by one in the order of the
/// nodes. An item stays with its owner while that one's quota lasts; those that are left fill up
/// the nodes in order. Without nodes nobody owns anything.
pub(super) fn assign<N: Ord + Clone>(owners: &[Option<N>], nodes: &BTreeSet<N>) -> Vec<Option<N>> {
    if nodes.is_empty() {
        return vec![None; owners.len()];
    }
    let (each, rest) = (owners.len() / nodes.len(), owners.len() % nodes.len());
    let quota = |(place, node): (usize, &N)| (node.clone(), each + usize::from(place < rest));
    let mut room: BTreeMap<N, usize> = nodes.iter().enumerate().map(quota).collect();
    let mut assigned: Vec<Option<N>> = owners
        .iter()
        .map(|owner| owner.clone().filter(|owner| take(&mut room, owner)))
        .collect();
    let mut free = room
        .into_iter()
        .flat_map(|(node, left)| std::iter::repeat_n(node, left));
    for item in assigned.iter_mut().filter(|item| item.is_none()) {
        *item = free.next();
    }
    assigned
}

fn take<N: Ord>(room: &mut BTreeMap<N, usize>, owner: &N) -> bool {
    match room.get_mut(owner) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes(names: &str) -> BTreeSet<char> {
        names.chars().collect()
    }

    fn again(owners: &str, names: &str) -> String {
        let owners: Vec<_> = owners
            .chars()
            .map(|owner| Some(owner).filter(|owner| *owner != '-'))
            .collect();
        let assigned = assign(&owners, &nodes(names));
        assigned
            .into_iter()
            .map(|owner| owner.unwrap_or('-'))
            .collect()
    }

    #[test]
    fn seven_items_follow_members_that_come_and_go() {
        assert_eq!(again("-------", "ABC"), "AAABBCC");
        assert_eq!(again("AAABBCC", "AB"), "AAABBAB");
        assert_eq!(again("AAABBAB", "ABD"), "AAABBDD");
    }

    #[test]
    fn without_members_nothing_is_assigned_and_nothing_is_divided_by_zero() {
        assert_eq!(again("AAB", ""), "---");
        assert_eq!(again("", ""), "");
        assert_eq!(again("", "AB"), "");
    }

    #[test]
    fn more_members_than_items_leave_some_without() {
        assert_eq!(again("--", "ABC"), "AB");
        assert_eq!(again("CC", "ABC"), "AB");
    }

    proptest! {
        #[test]
        fn it_is_even_sticky_and_complete(
            owners in prop::collection::vec(prop::option::of(0_u8..12), 0..60),
            nodes in prop::collection::btree_set(0_u8..12, 0..10),
        ) {
            let assigned = assign(&owners, &nodes);
            prop_assert_eq!(assigned.len(), owners.len());
            if nodes.is_empty() {
                prop_assert!(assigned.iter().all(Option::is_none));
                return Ok(());
            }
            let count = |of: &[Option<u8>], node: u8| {
                of.iter().filter(|owner| **owner == Some(node)).count()
            };
            prop_assert!(assigned.iter().all(|owner| owner.is_some_and(|owner| nodes.contains(&owner))));
            let counts: Vec<_> = nodes.iter().map(|node| count(&assigned, *node)).collect();
            let (least, most) = (counts.iter().min(), counts.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1));
            // An item has moved only if its node is gone, or the node is full without it.
            for (old, new) in owners.iter().zip(&assigned) {
                let Some(old) = old.filter(|old| nodes.contains(old) && Some(*old) != *new) else {
                    continue;
                };
                prop_assert!(count(&owners, old) > count(&assigned, old));
                let kept = owners.iter().zip(&assigned);
                let kept = kept.filter(|(was, is)| **was == Some(old) && **is == Some(old)).count();
                prop_assert_eq!(kept, count(&assigned, old));
            }
            // Once assigned, nothing moves.
            prop_assert_eq!(assign(&assigned, &nodes), assigned);
        }
    }
}
