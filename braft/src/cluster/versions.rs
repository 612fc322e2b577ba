//! Activating versions of services: done by the leader, once every node's binary knows them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::codec;
use crate::entry::Item;
use crate::machine::Versions;
use crate::member::display_id;
use crate::raft::{RaftNode, RaftView, Role};

/// How often the leader looks.
const INTERVAL: Duration = Duration::from_millis(100);
/// A member that has not answered within this time may be about to come back with another binary.
const RECENT_CONTACT: Duration = Duration::from_secs(1);
/// How long the first leader of a new cluster waits to hear what all the others know. After that,
/// whoever was not heard is taken to have the same binary: the cluster must be able to begin
/// without a minority.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// Proposes what all members know, whenever that is more than is active.
pub(crate) async fn activate(raft: RaftNode) {
    let mut leads_since = None;
    let mut said = String::new();
    loop {
        let view = raft.view();
        if view.role != Role::Leader {
            leads_since = None;
            let leads = raft.wait_for(|view| view.role == Role::Leader).await;
            if leads.is_none() {
                return;
            }
            continue;
        }
        let since = *leads_since.get_or_insert_with(Instant::now);
        // What was committed before this leader's term may be an activation.
        let knows_the_past = view.applied.is_some_and(|(term, _)| term == view.term);
        if knows_the_past {
            let patient = since.elapsed() < FIRST_PATIENCE;
            let (next, waits) = due(&raft, &view, patient);
            let text = if next.0.is_empty() {
                waits
            } else {
                format!("activating {:?}: all nodes have a binary with them", next.0)
            };
            if !text.is_empty() && text != said {
                tracing::info!("{text}");
            }
            said = text;
            if !next.0.is_empty() {
                propose(&raft, &next).await;
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn propose(raft: &RaftNode, next: &Versions) {
    let versions = codec::encode(next).expect("names and numbers always have a MessagePack form");
    let versions = versions.into();
    if let Err(error) = raft.propose_own(Item::ActivateVersions { versions }).await {
        tracing::debug!(%error, "not activated; tried again");
    }
}

/// What can be activated now, and what is waited for.
fn due(raft: &RaftNode, view: &RaftView, patient: bool) -> (Versions, String) {
    let active = raft.machine().active_versions();
    let own = raft.machine().known_versions();
    let me = raft.id();
    let others = view.members.members.nodes.keys().filter(|id| **id != me);
    let others: Vec<_> = others.map(|id| (*id, heard(raft, view, *id))).collect();
    let waits = waiting(&active, &own, &others);
    let others: Vec<_> = others.into_iter().map(|(_, heard)| heard).collect();
    (due_among(&active, &own, &others, patient), waits)
}

/// Which members hold up what this binary knows and is not active; empty if nothing is held up.
fn waiting(active: &Versions, own: &Versions, others: &[(u64, Option<Versions>)]) -> String {
    let later = own
        .0
        .iter()
        .filter(|(service, version)| **version > active.of(service));
    let mut lines = Vec::new();
    for (service, version) in later {
        for (id, heard) in others {
            let known = heard
                .as_ref()
                .map(|heard| heard.0.get(service).copied().unwrap_or(0));
            let why = match known {
                None => "is not in contact".to_owned(),
                Some(0) => "has a binary without it".to_owned(),
                Some(known) if known < *version => format!("has a binary with version {known}"),
                Some(_) => continue,
            };
            let node = display_id(*id);
            lines.push(format!(
                "version {version} of service {service}: node {node} {why}"
            ));
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    format!("not yet activated: {}", lines.join("; "))
}

/// What a member's binary knows, if the member is there.
fn heard(raft: &RaftNode, view: &RaftView, id: u64) -> Option<Versions> {
    let contact = view.contact.get(&id).copied().flatten();
    contact
        .is_some_and(|at| at.elapsed() < RECENT_CONTACT)
        .then(|| raft.peers().versions_of(id))?
}

/// The versions of `own` that are above the active ones and known to all others. One that was not
/// heard holds up everything, but for a cluster that has agreed on nothing yet.
fn due_among(
    active: &Versions,
    own: &Versions,
    others: &[Option<Versions>],
    patient: bool,
) -> Versions {
    let is_first = !active.are_agreed();
    if others.iter().any(Option::is_none) && (patient || !is_first) {
        return Versions::default();
    }
    let heard: Vec<_> = others.iter().flatten().collect();
    // A build that knows no activations would stop at one.
    if heard.iter().any(|versions| !versions.are_agreed()) {
        return Versions::default();
    }
    let known = own.0.iter().map(|(service, version)| {
        let theirs = heard
            .iter()
            .map(|versions| versions.0.get(service).copied().unwrap_or(0));
        (service.clone(), theirs.fold(*version, u32::min))
    });
    let due =
        known.filter(|(service, version)| *version > active.0.get(service).copied().unwrap_or(0));
    Versions(due.collect::<BTreeMap<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(of: &[(&str, u32)]) -> Versions {
        Versions(
            of.iter()
                .map(|(name, version)| ((*name).to_owned(), *version))
                .collect(),
        )
    }

    #[test]
    fn the_least_that_all_know_is_due_and_nothing_that_is_active() {
        let active = versions(&[("braft", 1), ("a", 1)]);
        let own = versions(&[("braft", 1), ("a", 3), ("b", 1)]);
        let two = versions(&[("braft", 1), ("a", 2), ("b", 4)]);
        let due = due_among(&active, &own, &[Some(two.clone())], true);
        assert_eq!(due, versions(&[("a", 2), ("b", 1)]));
        let old = versions(&[("braft", 1), ("a", 1)]);
        let due = due_among(&active, &own, &[Some(two), Some(old)], true);
        assert_eq!(due, versions(&[]));
    }

    #[test]
    fn a_silent_member_holds_up_all_but_the_first_agreement() {
        let own = versions(&[("braft", 1), ("a", 2)]);
        let others = [None, Some(own.clone())];
        let none = versions(&[]);
        assert_eq!(due_among(&none, &own, &others, true), none);
        assert_eq!(due_among(&none, &own, &others, false), own);
        let active = versions(&[("braft", 1), ("a", 1)]);
        assert_eq!(due_among(&active, &own, &others, false), none);
    }

    #[test]
    fn the_log_says_who_holds_up_what() {
        let active = versions(&[("a", 1)]);
        let own = versions(&[("a", 2), ("b", 1)]);
        let others = [(7, Some(versions(&[("a", 1), ("b", 1)]))), (8, None)];
        let text = waiting(&active, &own, &others);
        assert!(text.contains("service a: node 0000000000000007 has a binary with version 1"));
        assert!(
            text.contains("service b: node 0000000000000008 is not in contact"),
            "{text}"
        );
        assert_eq!(waiting(&own, &own, &others), "");
    }

    #[test]
    fn a_build_without_activations_is_spared_them() {
        let own = versions(&[("braft", 1), ("a", 2)]);
        let before = Some(Versions::default());
        assert_eq!(
            due_among(&Versions::default(), &own, &[before], false),
            versions(&[])
        );
    }
}
