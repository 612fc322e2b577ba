//! The replicated service: all lists and who has which item.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::assign::assign;
use super::item::{Assignment, Payload, Share, ShareState, WorkError, WorkItem};
use crate::context::{Context, LogPosition};
use crate::raft_service;

/// The most lists of a cluster.
const MAX_LISTS: usize = 64;
/// The most items of a list.
const MAX_ITEMS: usize = 10_000;
/// The most bytes of a list's ids and values: a list fits into one command and one answer.
const MAX_LIST_BYTES: usize = 512 << 10;
/// The longest name of a list or id of an item, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// The most members that work is assigned to.
const MAX_MEMBERS: usize = 1024;

/// The service behind [`distribute`](crate::distribute): lists of work items and their assignment.
///
/// Its client is for programs that only write lists; a node has the typed
/// [`WorkList`](super::WorkList).
#[raft_service(name = "braft.distribute", crate = crate)]
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct WorkLists {
    lists: BTreeMap<String, List>,
    /// Whom work is assigned to; empty until a leader has said so.
    members: BTreeSet<String>,
    /// Where a list was last removed.
    removed: LogPosition,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    items: Vec<Held>,
    changed: LogPosition,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    item: WorkItem<Payload>,
    owner: Option<String>,
}

#[raft_service(crate = crate)]
impl WorkLists {
    /// Makes a list of exactly these items. Those that are in it already stay where they are.
    ///
    /// # Errors
    /// If a limit is exceeded, or two items have one id.
    pub fn set(
        &mut self,
        context: &mut Context,
        list: &str,
        items: Vec<WorkItem<Payload>>,
    ) -> Result<(), WorkError> {
        let old = self.lists.get(list).map_or(&[][..], |list| &list.items);
        let mut owners: BTreeMap<&str, &Option<String>> = old
            .iter()
            .map(|held| (held.item.id.as_str(), &held.owner))
            .collect();
        let held = |item: WorkItem<Payload>| {
            let owner = owners.remove(item.id.as_str()).cloned().flatten();
            Held { item, owner }
        };
        let items = items.into_iter().map(held).collect();
        self.replace(context, list, items)
    }

    /// Adds an item at the end of a list, or changes its value; makes the list if there is none.
    ///
    /// # Errors
    /// If a limit is exceeded.
    pub fn put(
        &mut self,
        context: &mut Context,
        list: &str,
        item: WorkItem<Payload>,
    ) -> Result<(), WorkError> {
        let mut items = self.items(list);
        match items.iter_mut().find(|held| held.item.id == item.id) {
            Some(held) => held.item = item,
            None => items.push(Held { item, owner: None }),
        }
        self.replace(context, list, items)
    }

    /// Removes an item.
    ///
    /// # Errors
    /// If there is no such list or item.
    pub fn remove(&mut self, context: &mut Context, list: &str, id: &str) -> Result<(), WorkError> {
        if !self.lists.contains_key(list) {
            return Err(WorkError::NoList(list.to_owned()));
        }
        let mut items = self.items(list);
        let place = items.iter().position(|held| held.item.id == id);
        items.remove(place.ok_or_else(|| WorkError::NoItem(id.to_owned()))?);
        self.replace(context, list, items)
    }

    /// Removes a list; says whether there was one.
    pub fn remove_list(&mut self, context: &mut Context, list: &str) -> bool {
        let was_there = self.lists.remove(list).is_some();
        if was_there {
            self.removed = context.log_position();
        }
        was_there
    }

    /// Assigns all work to these members, by node id. What the leader does when members come or go.
    ///
    /// # Errors
    /// If there are too many.
    pub fn assign_to(
        &mut self,
        context: &mut Context,
        members: Vec<String>,
    ) -> Result<(), WorkError> {
        limit("members", members.len(), MAX_MEMBERS)?;
        let members = members.into_iter().collect();
        if self.members == members {
            return Ok(());
        }
        self.members = members;
        for list in self.lists.values_mut() {
            list.assign(&self.members);
            // Even if no item moves: what a node without items is told may be another thing.
            list.changed = context.log_position();
        }
        Ok(())
    }

    /// The members that work is assigned to, by node id.
    pub fn assigned_to(&self) -> Vec<String> {
        self.members.iter().cloned().collect()
    }

    /// The names of all lists.
    pub fn names(&self) -> Vec<String> {
        self.lists.keys().cloned().collect()
    }

    /// Who has which item of a list; `None` if there is no such list.
    pub fn assignments(&self, list: &str) -> Option<Vec<Assignment>> {
        let assignment = |held: &Held| Assignment {
            item: held.item.id.clone(),
            node: held.owner.clone(),
        };
        let list = self.lists.get(list)?;
        Some(list.items.iter().map(assignment).collect())
    }

    /// The share of a node; `None` if it is no newer than the position given.
    pub fn share(
        &self,
        list: &str,
        node: &str,
        newer_than: Option<LogPosition>,
    ) -> Option<Share<Payload>> {
        let list = self.lists.get(list);
        // A list that is there has outlived, or come after, every one that was removed.
        let position = list.map_or(self.removed, |list| list.changed);
        if newer_than.is_some_and(|seen| position <= seen) {
            return None;
        }
        let state = match list {
            None => ShareState::Absent,
            Some(_) if self.members.is_empty() => ShareState::Unassigned,
            Some(_) if !self.members.contains(node) => ShareState::NotMember,
            Some(list) => ShareState::Assigned(list.share(node)),
        };
        Some(Share { position, state })
    }

    #[local]
    fn items(&self, list: &str) -> Vec<Held> {
        self.lists
            .get(list)
            .map(|list| list.items.clone())
            .unwrap_or_default()
    }

    #[local]
    fn replace(
        &mut self,
        context: &Context,
        name: &str,
        items: Vec<Held>,
    ) -> Result<(), WorkError> {
        let is_new = !self.lists.contains_key(name);
        limit(
            "work lists",
            self.lists.len() + usize::from(is_new),
            MAX_LISTS,
        )?;
        check(name, &items)?;
        let list = self.lists.entry(name.to_owned()).or_default();
        let old = std::mem::replace(&mut list.items, items);
        list.assign(&self.members);
        if is_new || old != list.items {
            list.changed = context.log_position();
        }
        Ok(())
    }
}

impl List {
    fn assign(&mut self, members: &BTreeSet<String>) {
        let owners: Vec<_> = self.items.iter().map(|held| held.owner.clone()).collect();
        for (held, owner) in self.items.iter_mut().zip(assign(&owners, members)) {
            held.owner = owner;
        }
    }

    fn share(&self, node: &str) -> Vec<WorkItem<Payload>> {
        let own = |held: &&Held| held.owner.as_deref() == Some(node);
        let items = self.items.iter().filter(own);
        items.map(|held| held.item.clone()).collect()
    }
}

fn check(list: &str, items: &[Held]) -> Result<(), WorkError> {
    check_name(list)?;
    limit("items in a work list", items.len(), MAX_ITEMS)?;
    let mut ids = BTreeSet::new();
    let mut bytes = 0;
    for Held { item, .. } in items {
        check_name(&item.id)?;
        if !ids.insert(item.id.as_str()) {
            return Err(WorkError::Doubled(item.id.clone()));
        }
        bytes += item.id.len() + item.value.len();
    }
    limit("bytes in a work list", bytes, MAX_LIST_BYTES)
}

fn check_name(name: &str) -> Result<(), WorkError> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) {
        return Ok(());
    }
    Err(WorkError::Name {
        name: name.chars().take(MAX_NAME_BYTES / 4).collect(),
        limit: u32::try_from(MAX_NAME_BYTES).unwrap_or(u32::MAX),
    })
}

fn limit(what: &str, got: usize, limit: usize) -> Result<(), WorkError> {
    if got <= limit {
        return Ok(());
    }
    Err(WorkError::Limit {
        what: what.to_owned(),
        limit: limit as u64,
        got: got as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Context {
        let position = LogPosition {
            term: 1,
            index,
            ordinal: 0,
        };
        Context::new(position, None, std::time::Duration::ZERO, 1, 0)
    }

    fn item(id: &str) -> WorkItem<Payload> {
        WorkItem::new(id, Payload::of(&id).unwrap())
    }

    fn members(names: &str) -> Vec<String> {
        names.chars().map(String::from).collect()
    }

    fn seven() -> WorkLists {
        let mut lists = WorkLists::default();
        let items = (1..=7).map(|id| item(&id.to_string())).collect();
        lists.set(&mut at(1), "jobs", items).unwrap();
        lists
    }

    fn owners(lists: &WorkLists) -> String {
        let all = lists.assignments("jobs").unwrap();
        all.into_iter()
            .map(|one| one.node.unwrap_or_else(|| "-".to_owned()))
            .collect()
    }

    fn state(lists: &WorkLists, node: &str) -> ShareState<Payload> {
        lists.share("jobs", node, None).unwrap().state
    }

    #[test]
    fn a_list_follows_the_members_that_come_and_go() {
        let mut lists = seven();
        for (index, (names, wanted)) in [("ABC", "AAABBCC"), ("AB", "AAABBAB"), ("ABD", "AAABBDD")]
            .into_iter()
            .enumerate()
        {
            let mut context = at(2 + index as u64);
            lists.assign_to(&mut context, members(names)).unwrap();
            assert_eq!(owners(&lists), wanted);
        }
    }

    #[test]
    fn a_share_that_nobody_has_is_not_an_empty_one() {
        let mut lists = WorkLists::default();
        assert_eq!(state(&lists, "A"), ShareState::Absent);
        lists = seven();
        assert_eq!(owners(&lists), "-------");
        assert_eq!(state(&lists, "A"), ShareState::Unassigned);
        lists.assign_to(&mut at(2), members("AB")).unwrap();
        assert_eq!(state(&lists, "C"), ShareState::NotMember);
        lists.set(&mut at(3), "jobs", vec![item("1")]).unwrap();
        assert_eq!(state(&lists, "A"), ShareState::Assigned(vec![item("1")]));
        assert_eq!(state(&lists, "B"), ShareState::Assigned(Vec::new()));
        lists.assign_to(&mut at(4), Vec::new()).unwrap();
        assert_eq!(state(&lists, "A"), ShareState::Unassigned);
        assert!(lists.remove_list(&mut at(5), "jobs"));
        assert_eq!(state(&lists, "A"), ShareState::Absent);
    }

    #[test]
    fn the_position_of_a_share_grows_with_each_change_and_only_then() {
        let mut lists = seven();
        let mut seen = None;
        let mut changed = |lists: &WorkLists| {
            let share = lists.share("jobs", "A", seen);
            seen = share.as_ref().map(|share| share.position).or(seen);
            share.map(|share| share.position.index)
        };
        assert_eq!(changed(&lists), Some(1));
        assert_eq!(changed(&lists), None);
        lists.assign_to(&mut at(2), members("AB")).unwrap();
        assert_eq!(changed(&lists), Some(2));
        lists.assign_to(&mut at(3), members("AB")).unwrap();
        lists.put(&mut at(4), "jobs", item("1")).unwrap();
        lists.put(&mut at(5), "other", item("1")).unwrap();
        assert_eq!(changed(&lists), None);
        lists.assign_to(&mut at(6), members("ABC")).unwrap();
        assert_eq!(changed(&lists), Some(6));
        lists.remove(&mut at(7), "jobs", "7").unwrap();
        assert_eq!(changed(&lists), Some(7));
        lists.remove_list(&mut at(8), "jobs");
        assert_eq!(changed(&lists), Some(8));
        lists.put(&mut at(9), "jobs", item("1")).unwrap();
        assert_eq!(changed(&lists), Some(9));
    }

    #[test]
    fn items_that_stay_in_a_list_stay_where_they_are() {
        let mut lists = seven();
        lists.assign_to(&mut at(2), members("ABC")).unwrap();
        let items = ["7", "6", "1", "2", "new"].map(item).to_vec();
        lists.set(&mut at(3), "jobs", items).unwrap();
        // C's quota is one of five: it keeps its first, and the other goes where there is room.
        assert_eq!(owners(&lists), "CBAAB");
    }

    #[test]
    fn what_is_too_much_is_refused_and_changes_nothing() {
        let mut lists = seven();
        let before = format!("{lists:?}");
        let doubled = vec![item("1"), item("1")];
        let large = WorkItem::new("x", Payload::of(&"x".repeat(MAX_LIST_BYTES)).unwrap());
        let many = (0..=MAX_ITEMS).map(|id| item(&id.to_string())).collect();
        let refused = [
            lists.set(&mut at(2), "jobs", doubled),
            lists.set(&mut at(2), "jobs", many),
            lists.put(&mut at(2), "jobs", large),
            lists.put(&mut at(2), "jobs", item("")),
            lists.put(&mut at(2), &"x".repeat(MAX_NAME_BYTES + 1), item("1")),
            lists.remove(&mut at(2), "jobs", "8"),
            lists.remove(&mut at(2), "other", "1"),
            lists.assign_to(
                &mut at(2),
                (0..=MAX_MEMBERS).map(|n| n.to_string()).collect(),
            ),
        ];
        for refusal in refused {
            refusal.unwrap_err();
        }
        assert_eq!(format!("{lists:?}"), before);
        for list in 1..MAX_LISTS {
            lists.put(&mut at(3), &list.to_string(), item("1")).unwrap();
        }
        lists.put(&mut at(4), "one more", item("1")).unwrap_err();
    }
}
