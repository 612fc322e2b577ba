//! A replica that serves nothing: it has halted, or its state differs from the majority's.

use std::io;
use std::sync::PoisonError;

use tokio::sync::watch;

use super::state_machine::{SNAPSHOT_RETRY_PAUSE, StateMachine};
use crate::error::Error;
use crate::machine::{Diverged, EVENTS, KEYS, SESSIONS, TIMERS, part_name};
use crate::request::Refusal;
use crate::world;

impl StateMachine {
    /// Enters or leaves the quarantine as the verdicts on this replica say.
    pub(super) fn heed_verdicts(&self) {
        let shared = &self.shared;
        // Held to the end: what was seen first is told first.
        let seen = shared.verdicts.lock();
        let mut seen = seen.unwrap_or_else(PoisonError::into_inner);
        let verdicts = shared.machine.verdicts();
        if std::mem::replace(&mut *seen, verdicts) == verdicts {
            return;
        }
        let replica = shared.machine.read();
        let why = replica.divergence(shared.node_id).map(why_diverged);
        drop(replica);
        shared.quarantine.send_if_modified(|before| {
            let changed = *before != why;
            if changed {
                match &why {
                    Some(why) => tracing::error!("{why}"),
                    None => tracing::warn!("the state of this node was made anew: it serves again"),
                }
                *before = why;
            }
            changed
        });
    }

    /// One snapshot comes in at a time.
    pub(super) async fn receiving(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.receiving.lock().await
    }

    pub(super) fn is_quarantined(&self) -> bool {
        self.shared.quarantine.borrow().is_some()
    }

    /// How this replica differs from the majority, as that changes.
    pub(crate) fn watch_quarantine(&self) -> watch::Receiver<Option<String>> {
        self.shared.quarantine.subscribe()
    }

    /// What callers are told while this replica serves nothing.
    pub(crate) fn out_of_service(&self) -> Option<Refusal> {
        if let Some(why) = &*self.shared.halted.borrow() {
            return Some(Error::fatal(why.clone()).into());
        }
        let quarantine = self.shared.quarantine.borrow();
        let why = quarantine.as_ref()?;
        Some(Refusal::not_here(why.clone(), None))
    }

    /// Makes the state anew from the snapshot that another node has written and that has just come
    /// in, and from the log behind it.
    pub(super) fn start_over(&self) -> io::Result<()> {
        world::blocking_here(|| {
            let _no_snapshot_meanwhile = self.writing();
            self.shared
                .machine
                .start_over(self)
                .map_err(io::Error::other)?;
            let applied = self.shared.machine.read().applied();
            self.applied(applied.map_or(0, |(_, index)| index));
            self.heed_verdicts();
            Ok(())
        })
    }

    /// Waits until no snapshot is being written: one that was begun in quarantine is given up.
    pub(super) fn await_writing(&self) {
        world::blocking_here(|| drop(self.writing()));
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, ()> {
        let writing = self.shared.writing.lock();
        writing.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this replica serves.
    pub(super) async fn until_in_service(&self) -> io::Result<()> {
        while self.out_of_service().is_some() {
            self.check_open()?;
            tokio::time::sleep(SNAPSHOT_RETRY_PAUSE).await;
        }
        self.check_open()
    }
}

fn why_diverged(how: &Diverged) -> String {
    format!(
        "this node has diverged: its state of {} differs from that of the majority (log index {} to \
         {}); it serves nothing and is made anew from the snapshot of a node that agrees; look for \
         what differs from node to node in the commands of this service: clocks, random numbers, \
         the order of a HashMap",
        parts(how),
        how.from,
        how.to
    )
}

/// The parts of a state that differ, as people know them.
pub(crate) fn parts(how: &Diverged) -> String {
    let names = how.parts.iter().map(|part| match part_name(part) {
        SESSIONS => "the answers to commands".to_owned(),
        KEYS => "the answers to idempotency keys".to_owned(),
        TIMERS => "the timers that are set".to_owned(),
        EVENTS => "the events that are kept".to_owned(),
        name => format!("service {name}"),
    });
    names.collect::<Vec<_>>().join(" and ")
}
