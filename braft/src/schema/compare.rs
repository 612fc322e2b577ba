//! Which changes of a schema old and new nodes, clients, logs and snapshots get along with.
//!
//! Calls in the log outlive the binary that wrote them, and while nodes are upgraded one by one,
//! old and new ones carry out the same calls and compare answers and states. So what is there keeps
//! its types, and what is new comes with a version that is active once all nodes have it.

#[cfg(test)]
mod tests;

use super::Schema;
use super::node::{ANSWER, Node, parse};

/// The label of an operation that is gone for good.
const RETIRED: &str = "retired";

/// One difference between two schemas.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// What has changed, and what to do if it must not.
    pub(crate) text: String,
    pub(crate) compatible: bool,
}

struct Comparison<'a> {
    old: &'a Schema,
    new: &'a Schema,
    changes: Vec<Change>,
}

/// What has changed from one schema to the next.
pub(crate) fn changes(old: &Schema, new: &Schema) -> Vec<Change> {
    let mut comparison = Comparison {
        old,
        new,
        changes: Vec::new(),
    };
    comparison.head();
    comparison.state();
    for part in &old.parts {
        comparison.operation(part);
    }
    for part in &new.parts {
        comparison.added(part);
    }
    comparison.changes
}

/// Keeps the names that are never to be used again, which only the lock knows.
pub(crate) fn keep_retired(old: &Schema, new: &mut Schema) {
    for part in &old.parts {
        let (word, name) = split(part);
        let is_gone = word != "state" && !same_name(new, name);
        if is_gone {
            let label = format!("{RETIRED} {name}");
            new.parts.extend(parse(&label).unwrap_or_default());
        }
    }
    new.parts[1..].sort_by(|a, b| a.label.cmp(&b.label));
}

fn split(part: &Node) -> (&str, &str) {
    part.label.split_once(' ').unwrap_or((&part.label, ""))
}

fn part<'a>(schema: &'a Schema, label: &str) -> Option<&'a Node> {
    schema.parts.iter().find(|part| part.label == label)
}

fn same_name(schema: &Schema, name: &str) -> bool {
    schema.parts.iter().any(|part| split(part).1 == name)
}

impl Comparison<'_> {
    fn note(&mut self, compatible: bool, text: impl Into<String>) {
        self.changes.push(Change {
            text: text.into(),
            compatible,
        });
    }

    /// Whether a version is a later one than that of the lock.
    fn is_later(&self, since: u32) -> bool {
        since > self.old.version && since <= self.new.version
    }

    fn next(&self) -> u32 {
        self.new.version.max(self.old.version + 1)
    }

    fn head(&mut self) {
        let (old, new) = (self.old, self.new);
        if old.service != new.service {
            let text = format!(
                "the service was named {} and is now {}: calls and snapshots would not find it; \
                 write `#[raft_service(name = \"{}\")]`",
                old.service, new.service, old.service
            );
            self.note(false, text);
        }
        if old.version > new.version {
            let text = format!(
                "the version went back from {} to {}: clusters may have it active",
                old.version, new.version
            );
            self.note(false, text);
        } else if old.version < new.version {
            let text = format!("version {} follows {}", new.version, old.version);
            self.note(true, text);
        }
    }

    fn state(&mut self) {
        let (Some(old), Some(new)) = (part(self.old, "state"), part(self.new, "state")) else {
            return self.note(false, "the state is missing");
        };
        let migrated = self.new.version > self.old.version
            && self
                .new
                .migrates
                .is_some_and(|from| from >= self.old.version);
        let mut bare = new.clone();
        for field in &new.children {
            if old.child(&field.label).is_some() {
                continue;
            }
            bare.children.retain(|other| other.label != field.label);
            if self.is_later(field.since) {
                let text = format!("field {} of the state is new", field.label);
                self.note(true, text);
            } else if !migrated {
                let text = format!(
                    "field {} of the state is new: nodes of version {} could not read its \
                     snapshots; write `#[field(since = {})]` and `#[raft_service(version = {})]`",
                    field.label,
                    self.old.version,
                    self.next(),
                    self.next()
                );
                self.note(false, text);
            }
        }
        if let Some(difference) = difference("state", old, &bare) {
            if migrated {
                return self.note(true, format!("{difference}, by a migration"));
            }
            let text = format!(
                "{difference}: older snapshots could not be read; keep the old struct and its impl \
                 block in a module, and write `#[raft_service(version = {}, migrate = path)]`",
                self.next()
            );
            self.note(false, text);
        }
    }

    /// What has become of an operation.
    fn operation(&mut self, old: &Node) {
        let (word, name) = split(old);
        if word == "state" {
            return;
        }
        if word == RETIRED {
            if self
                .new
                .parts
                .iter()
                .any(|part| split(part).1 == name && split(part).0 != RETIRED)
            {
                let text = format!(
                    "{name} was retired and is there again: old calls of it may be in a log; give \
                     the operation another name"
                );
                self.note(false, text);
            }
            return;
        }
        let Some(new) = part(self.new, &old.label) else {
            return self.gone(old, word, name);
        };
        self.lives(old, new);
        for part in &old.children {
            self.part_of(old, part, new.child(&part.label));
        }
        for part in &new.children {
            if old.child(&part.label).is_none() {
                self.added_argument(old, part);
            }
        }
    }

    fn gone(&mut self, old: &Node, word: &str, name: &str) {
        let now = self.new.parts.iter().find(|part| split(part).1 == name);
        if let Some(now) = now.filter(|part| split(part).0 != RETIRED) {
            let text = format!(
                "{} has become a {}: an operation stays what it is; give the new one another name",
                old.label,
                split(now).0
            );
            return self.note(false, text);
        }
        let was_removed = old.removed > 0 && old.removed <= self.old.version;
        if was_removed && self.new.version > self.old.version {
            let text = format!("{} is retired: its name must not be used again", old.label);
            return self.note(true, text);
        }
        let remedy = if was_removed {
            format!("remove it with a version after {}", self.old.version)
        } else {
            format!(
                "keep the method with `#[{word}(removed = {})]` and \
                 `#[raft_service(version = {})]`; it may go with the version after that",
                self.next(),
                self.next()
            )
        };
        let text = format!(
            "{} is gone: logs and clients may hold calls of it; {remedy}",
            old.label
        );
        self.note(false, text);
    }

    fn lives(&mut self, old: &Node, new: &Node) {
        let label = &old.label;
        if old.since != new.since {
            let text = format!(
                "{label} came with version {} and now with {}: write `since = {}` again",
                old.since, new.since, old.since
            );
            self.note(false, text);
        }
        match (old.removed, new.removed) {
            (before, now) if before == now => {}
            (0, now) if self.is_later(now) => {
                self.note(true, format!("{label} is removed with version {now}"));
            }
            (0, now) => {
                let text = format!(
                    "{label} is removed with version {now}, which is no later one than {}: write \
                     `removed = {}` and `#[raft_service(version = {})]`",
                    self.old.version,
                    self.next(),
                    self.next()
                );
                self.note(false, text);
            }
            (before, _) => {
                let text = format!(
                    "{label} was removed with version {before}, and that cannot be changed: give \
                     the operation another name"
                );
                self.note(false, text);
            }
        }
    }

    fn part_of(&mut self, operation: &Node, old: &Node, new: Option<&Node>) {
        let what = if old.label == ANSWER {
            format!("the answer of {}", operation.label)
        } else {
            format!("argument {} of {}", old.label, operation.label)
        };
        let difference = match new {
            None => Some(format!(
                "{what} is gone; write `#[arg(name = \"{}\")]` if it has another name now",
                old.label
            )),
            Some(new) if new.since != old.since => Some(format!(
                "{what} came with version {} and now with {}",
                old.since, new.since
            )),
            Some(new) => difference(&what, old, new),
        };
        if let Some(difference) = difference {
            let text = format!(
                "{difference}: calls in logs, answers in snapshots and other nodes have it as it \
                 was; leave it, and add an operation of another name with `since = {}`",
                self.next()
            );
            self.note(false, text);
        }
    }

    fn added_argument(&mut self, operation: &Node, new: &Node) {
        let text = format!("argument {} of {} is new", new.label, operation.label);
        if self.is_later(new.since) && new.kind == "option" {
            return self.note(true, text);
        }
        let text = format!(
            "{text}: older calls lack it and older nodes do not know it; write \
             `#[arg(since = {})] {}: Option<_>` and `#[raft_service(version = {})]`",
            self.next(),
            new.label,
            self.next()
        );
        self.note(false, text);
    }

    /// An operation that was not there.
    fn added(&mut self, new: &Node) {
        let (word, name) = split(new);
        if word == "state" || word == RETIRED || same_name(self.old, name) {
            return;
        }
        let text = format!("{} is new", new.label);
        if word == "query" || self.is_later(new.since) {
            return self.note(true, text);
        }
        let text = format!(
            "{text}: nodes of version {} would stop at a call of it; write \
             `#[command(since = {})]` and `#[raft_service(version = {})]`",
            self.old.version,
            self.next(),
            self.next()
        );
        self.note(false, text);
    }
}

/// The first difference in what travels. Names of structs and enums do not.
fn difference(path: &str, old: &Node, new: &Node) -> Option<String> {
    if travels_as(&old.kind) != travels_as(&new.kind) {
        return Some(format!("{path} was {} and is now {}", old.kind, new.kind));
    }
    for part in &old.children {
        let inner = format!("{path} / {}", part.label);
        let Some(now) = new.child(&part.label) else {
            return Some(format!("{inner} is gone"));
        };
        if let Some(difference) = difference(&inner, part, now) {
            return Some(difference);
        }
    }
    let added = new.children.iter();
    let mut added = added.filter(|part| old.child(&part.label).is_none());
    added
        .next()
        .map(|part| format!("{path} / {} is new", part.label))
}

fn travels_as(kind: &str) -> &str {
    match kind.split_once(' ') {
        Some((word @ ("struct" | "enum"), _)) => word,
        _ => kind,
    }
}
