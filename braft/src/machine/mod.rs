//! The replicated state machine: sessions, settings, clock, members and the user's services,
//! moved by log entries alone.
//!
//! Nothing here reads a clock, a file or local configuration.

mod apply;
#[cfg(feature = "testing")]
mod digest;
mod events;
mod pace;
mod removed;
mod running;
mod snapshot;
mod timers;
mod user_code;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::Duration;

use bytes::Bytes;

pub(crate) use apply::{Answers, HaltError, stale_fence};
pub(crate) use pace::Pace;
pub(crate) use removed::RemovedNodes;
pub(crate) use running::{Query, Running, Sighting};
pub(crate) use snapshot::{SectionSink, SnapshotHeader};

use crate::context::LogPosition;
use crate::error::Error;
use crate::member::StoredMembers;
use crate::request::Refusal;
use crate::service::{AnyService, Method, Moment, ServiceFactory};
use crate::session::Sessions;
use crate::settings::Settings;
use events::Histories;
use timers::Timers;

/// A replica of everything the cluster agrees on.
// A lock around the whole, not one for each service: apply takes it once for a batch, and a
// snapshot must see all parts at one log id.
pub(crate) struct Machine {
    factories: Vec<ServiceFactory>,
    /// Empty instances that check commands without waiting for the replica's lock.
    prototypes: BTreeMap<&'static str, Box<dyn AnyService>>,
    replica: RwLock<Replica>,
    /// Log time in nanoseconds, for those who cannot wait for the replica.
    clock: AtomicU64,
    running: Running,
}

/// The replica's state at one log id.
pub(crate) struct Replica {
    services: BTreeMap<&'static str, Box<dyn AnyService>>,
    sessions: Sessions,
    settings: Settings,
    /// Whether a log entry has set the settings; until then they are the built-in ones.
    seeded: bool,
    /// Log time: the latest stamp applied. Never goes back.
    clock: Duration,
    members: StoredMembers,
    removed: RemovedNodes,
    timers: Timers,
    events: Histories,
    /// Log id of the last applied entry.
    applied: Option<(u64, u64)>,
}

/// Two registered services bear one name, or a name cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    #[error(
        "two services are named {0:?}; rename one with #[raft_service(name = \"…\")] on its struct"
    )]
    Duplicate(&'static str),
    #[error("the service name {0:?} must have 1 to 255 bytes")]
    Length(&'static str),
}

impl Machine {
    pub(crate) fn new(factories: Vec<ServiceFactory>) -> Result<Self, RegisterError> {
        let replica = Replica::new(&factories)?;
        let prototypes = Replica::new(&factories)?.services;
        Ok(Machine {
            factories,
            prototypes,
            replica: RwLock::new(replica),
            clock: AtomicU64::new(0),
            running: Running::default(),
        })
    }

    // A panic of user code is caught before it reaches the lock, so poison carries no news.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Replica> {
        self.replica.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state unless somebody is changing it: never waits, so a long command or snapshot
    /// does not hold up the thread that looks.
    pub(crate) fn glance<T>(&self, look: impl FnOnce(&Replica) -> T) -> Option<T> {
        self.replica.try_read().ok().map(|replica| look(&replica))
    }

    fn write(&self) -> RwLockWriteGuard<'_, Replica> {
        self.replica.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is at the state now, as one who saves it to a snapshot may be for long.
    pub(crate) fn is_free(&self) -> bool {
        !matches!(self.replica.try_write(), Err(TryLockError::WouldBlock))
    }

    /// Log time as far as it is known without waiting: a moment old while the state is in use.
    pub(crate) fn clock(&self) -> Duration {
        if let Ok(replica) = self.replica.try_read() {
            let nanos = u64::try_from(replica.clock.as_nanos()).unwrap_or(u64::MAX);
            self.clock.store(nanos, Ordering::Relaxed);
        }
        Duration::from_nanos(self.clock.load(Ordering::Relaxed))
    }

    /// Whether the bytes are a command of a service of this build.
    pub(crate) fn check_command(&self, service: &str, command: &[u8]) -> Result<(), Error> {
        find(&self.prototypes, service)?.check_command(command)
    }

    /// Answers queries from one state, under one lock.
    pub(crate) fn query(&self, queries: Arc<[Query]>) -> Vec<Result<(Bytes, u64), Refusal>> {
        let replica = self.read();
        let underway = self.running.queries(queries.clone());
        let mut answers = Vec::with_capacity(queries.len());
        for (ordinal, (service, query)) in (0..).zip(&*queries) {
            underway.at(ordinal);
            answers.push(replica.query(service, query));
        }
        answers
    }

    /// The commands and queries that are being carried out.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }
}

impl Replica {
    fn new(factories: &[ServiceFactory]) -> Result<Self, RegisterError> {
        let mut services = BTreeMap::new();
        for factory in factories {
            let service = factory();
            let name = service.name();
            if name.is_empty() || name.len() > 255 {
                return Err(RegisterError::Length(name));
            }
            if services.insert(name, service).is_some() {
                return Err(RegisterError::Duplicate(name));
            }
        }
        Ok(Replica {
            services,
            sessions: Sessions::default(),
            settings: Settings::default(),
            seeded: false,
            clock: Duration::ZERO,
            members: StoredMembers::default(),
            removed: RemovedNodes::default(),
            timers: Timers::default(),
            events: Histories::default(),
            applied: None,
        })
    }

    fn query(&self, service: &str, query: &[u8]) -> Result<(Bytes, u64), Refusal> {
        let (term, index) = self.applied.unwrap_or_default();
        let moment = Moment {
            position: LogPosition {
                term,
                index,
                ordinal: 0,
            },
            request: None,
            now: self.clock,
            // A query draws numbers too; they need not agree between replicas, only be harmless.
            seed: index,
            room: 0,
        };
        let service = find(&self.services, service)?;
        let answer = apply::caught(|| service.query(moment, query)).unwrap_or_else(|panic| {
            Err(Error::rejected(format!(
                "a query of service {} panicked: {panic}; nothing was changed",
                service.name()
            )))
        })?;
        Ok((answer.into(), index))
    }

    pub(crate) fn applied(&self) -> Option<(u64, u64)> {
        self.applied
    }

    pub(crate) fn members(&self) -> &StoredMembers {
        &self.members
    }

    pub(crate) fn removed(&self) -> &RemovedNodes {
        &self.removed
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn seeded(&self) -> bool {
        self.seeded
    }

    pub(crate) fn clock(&self) -> Duration {
        self.clock
    }

    /// The log time at which the next wake is due.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        self.timers.next()
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Each service with its operations.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&'static str, &'static [Method])> {
        self.services
            .iter()
            .map(|(name, service)| (*name, service.methods()))
    }
}

fn find<'a>(
    services: &'a BTreeMap<&'static str, Box<dyn AnyService>>,
    name: &str,
) -> Result<&'a dyn AnyService, Error> {
    match services.get(name) {
        Some(service) => Ok(&**service),
        None => Err(Error::rejected(format!(
            "no service {name:?} on this node; it has {:?}",
            services.keys().collect::<Vec<_>>()
        ))),
    }
}
