//! The replicated state machine: sessions, settings, clock, members and the user's services,
//! moved by log entries alone.
//!
//! Nothing here reads a clock, a file or local configuration.

mod apply;
mod compared;
mod comparison;
mod digest;
mod events;
mod keyed;
mod pace;
mod panics;
mod rebuild;
mod refused;
mod removed;
mod running;
mod snapshot;
mod step;
mod timers;
mod user_code;
mod versions;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

pub(crate) use apply::{Answers, HaltError};
pub(crate) use comparison::{Comparison, Digests, Diverged};
#[cfg(feature = "testing")]
pub(crate) use digest::encoded as digest_of;
pub(crate) use digest::{EVENTS, KEYS, SESSIONS, TIMERS, part_name};
pub(crate) use pace::Pace;
pub(crate) use panics::Panics;
#[cfg(feature = "testing")]
pub(crate) use rebuild::NoPast;
pub(crate) use rebuild::{Logged, Past};
#[cfg(feature = "http")]
pub(crate) use refused::caught;
pub(crate) use refused::stale_fence;
pub(crate) use removed::RemovedNodes;
pub(crate) use running::{Query, Running, Sighting};
#[cfg(feature = "cli")]
pub(crate) use snapshot::SESSIONS_SECTION;
pub(crate) use snapshot::{SectionSink, SnapshotHeader};
use versions::Door;
pub(crate) use versions::{BRAFT, SETTINGS_CHANGE, Versions, too_old};
pub(crate) use witness::Watch;
#[cfg(feature = "testing")]
pub(crate) use witness::Witness;

use crate::context::LogPosition;
use crate::error::Error;
use crate::keys::Keys;
use crate::member::StoredMembers;
use crate::request::Refusal;
use crate::service::{AnyService, Method, Moment, ServiceFactory};
use crate::session::{Place, Sessions};
use crate::settings::Settings;
use events::Histories;
use timers::Timers;

/// Services by their names.
type Services = BTreeMap<&'static str, Box<dyn AnyService>>;

/// A replica of everything the cluster agrees on.
// A lock around the whole, not one for each service: apply takes it once for a batch, and a
// snapshot must see all parts at one log id.
pub(crate) struct Machine {
    /// Empty instances of the latest version of each service.
    prototypes: Arc<Services>,
    /// What checks commands.
    door: RwLock<Door>,
    replica: RwLock<Replica>,
    /// Log time in nanoseconds, for those who cannot wait for the replica.
    clock: AtomicU64,
    running: Running,
    watch: Watch,
    /// Whether commands have panicked: spares a look at the replica for each command.
    has_panics: AtomicBool,
    /// Woken when a command has panicked.
    panicked: Notify,
    /// What this replica found at the latest mark it came to.
    digests: watch::Sender<Option<(u64, Digests)>>,
    /// Counts the changes of what is known of the replicas' states.
    verdicts: watch::Sender<u64>,
}

/// The replica's state at one log id.
pub(crate) struct Replica {
    /// Each as of its active version.
    services: Services,
    prototypes: Arc<Services>,
    versions: Versions,
    /// Whether the last entry has activated something.
    activated: bool,
    sessions: Sessions,
    keys: Keys,
    settings: Settings,
    /// Whether a log entry has set the settings; until then they are the built-in ones.
    seeded: bool,
    /// Log time: the latest stamp applied. Never goes back.
    clock: Duration,
    members: StoredMembers,
    removed: RemovedNodes,
    timers: Timers,
    /// The services to wake with the present entry.
    woken: Vec<String>,
    events: Histories,
    panics: Panics,
    comparison: Comparison,
    /// Log id of the last applied entry.
    applied: Option<(u64, u64)>,
    /// Why nothing more is carried out; the state is then of no use.
    halted: Option<String>,
    /// While the state is made anew: commands that panic further on, known from the first time.
    replay: Option<BTreeSet<Place>>,
    /// Digests taken at a mark, not yet handed out.
    taken: Option<(u64, Digests)>,
    /// Whether a verdict on the replicas' states has changed, not yet handed out.
    has_verdict: bool,
    /// Up to which log index the state was made by another node: known to this node alone.
    foreign: u64,
    /// What the latest panics said: known to this process alone.
    panic_texts: BTreeMap<Place, String>,
    watch: Watch,
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
    #[error(
        "a service cannot be named {0:?}, which stands for braft itself; give it another name with \
         #[raft_service(name = \"…\")] on its struct"
    )]
    Reserved(&'static str),
    #[error(
        "the migration of service {name:?} begins with a service named {old:?}; give that one the \
         same name with #[raft_service(name = \"{name}\")] on its struct"
    )]
    Migration {
        name: &'static str,
        old: &'static str,
    },
}

impl Machine {
    pub(crate) fn new(factories: Vec<ServiceFactory>, watch: Watch) -> Result<Self, RegisterError> {
        let prototypes = Arc::new(prototypes(&factories)?);
        let versions = Versions::default();
        let mut replica = Replica::new(&prototypes, versions.clone());
        replica.watch = watch.clone();
        Ok(Machine {
            door: RwLock::new(Door::new(&prototypes, &versions)),
            replica: RwLock::new(replica),
            prototypes,
            clock: AtomicU64::new(0),
            running: Running::default(),
            watch,
            has_panics: AtomicBool::new(false),
            panicked: Notify::new(),
            digests: watch::Sender::new(None),
            verdicts: watch::Sender::new(0),
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

    /// Whether services were built with debug assertions.
    pub(crate) fn is_checked(&self) -> bool {
        let mut services = self.prototypes.values();
        services.any(|service| service.is_checked())
    }

    /// Whether a service has such a command, or a timer of that name.
    pub(crate) fn has_command(&self, service: &str, method: &str) -> bool {
        let Some(service) = self.prototypes.get(service) else {
            return false;
        };
        let mut methods = service.methods().iter();
        methods.any(|known| known.is_command && known.name == method)
            || service.timer() == Some(method)
    }

    /// The schema of each service of this binary, as text.
    pub(crate) fn schemas(&self) -> Vec<(String, String)> {
        let services = self.prototypes.iter();
        services
            .map(|(name, service)| ((*name).to_owned(), service.schema()))
            .collect()
    }

    /// Takes settings that no log entry has set, and keeps them: what must never be done.
    #[cfg(feature = "planted")]
    pub(crate) fn obey(&self, settings: &Settings) {
        let mut replica = self.write();
        replica.settings = settings.clone();
        replica.seeded = true;
    }

    fn empty_replica(&self) -> Replica {
        self.empty_replica_at(Versions::default())
    }

    fn empty_replica_at(&self, versions: Versions) -> Replica {
        let mut replica = Replica::new(&self.prototypes, versions);
        replica.watch = self.watch.clone();
        replica
    }

    /// Whether commands have panicked and were not cleared.
    fn has_panics(&self) -> bool {
        self.has_panics.load(Ordering::Relaxed)
    }

    /// Lets others know of panics without a look at the replica.
    fn note_panics(&self, replica: &Replica) {
        self.has_panics
            .store(!replica.panics.is_empty(), Ordering::Relaxed);
        if replica.panics.unconfirmed().next().is_some() {
            self.panicked.notify_one();
        }
    }

    /// Lets others know of what an entry has brought about.
    fn hand_out(&self, replica: &mut Replica) {
        if let Some(taken) = replica.taken.take() {
            self.digests.send_replace(Some(taken));
        }
        if std::mem::take(&mut replica.has_verdict) {
            self.verdicts.send_modify(|count| *count += 1);
        }
    }

    /// What this replica found at the latest mark it came to: the mark's log index, and the digests.
    pub(crate) fn watch_digests(&self) -> watch::Receiver<Option<(u64, Digests)>> {
        self.digests.subscribe()
    }

    /// Moves when what is known of the replicas' states has changed.
    pub(crate) fn watch_verdicts(&self) -> watch::Receiver<u64> {
        self.verdicts.subscribe()
    }

    /// How often what is known of the replicas' states has changed.
    pub(crate) fn verdicts(&self) -> u64 {
        *self.verdicts.borrow()
    }

    /// Woken when a command has panicked that the log does not speak of yet.
    pub(crate) fn panicked(&self) -> &Notify {
        &self.panicked
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
    fn new(prototypes: &Arc<Services>, versions: Versions) -> Self {
        let services = versions::instances(prototypes, &versions);
        Replica {
            services,
            prototypes: Arc::clone(prototypes),
            versions,
            activated: false,
            sessions: Sessions::default(),
            keys: Keys::default(),
            settings: Settings::default(),
            seeded: false,
            clock: Duration::ZERO,
            members: StoredMembers::default(),
            removed: RemovedNodes::default(),
            timers: Timers::default(),
            woken: Vec::new(),
            events: Histories::default(),
            panics: Panics::default(),
            comparison: Comparison::default(),
            applied: None,
            halted: None,
            replay: None,
            taken: None,
            has_verdict: false,
            foreign: 0,
            panic_texts: BTreeMap::new(),
            watch: Watch::default(),
        }
    }

    fn query(&self, service: &str, query: &[u8]) -> Result<(Bytes, u64), Refusal> {
        if let Some(why) = &self.halted {
            return Err(Error::fatal(why.clone()).into());
        }
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
        if self.versions.of(service.name()) == 0 {
            return Err(Error::rejected(format!(
                "service {} is not yet active: not all nodes have a binary with it",
                service.name()
            ))
            .into());
        }
        let answer = refused::caught(|| service.query(moment, query)).unwrap_or_else(|panic| {
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

    pub(crate) fn panics(&self) -> &Panics {
        &self.panics
    }

    pub(crate) fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// How this replica, a node's, differs from the majority, unless it was made anew by one that
    /// does not since.
    pub(crate) fn divergence(&self, node: u64) -> Option<&Diverged> {
        let diverged = self.comparison.diverged(node);
        diverged.filter(|diverged| diverged.to > self.foreign)
    }

    /// Why this replica carries out nothing any more.
    pub(crate) fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
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

    /// Each service with its active version, the latest one that this binary knows, and the
    /// operations of the active one.
    pub(crate) fn services(
        &self,
    ) -> impl Iterator<Item = (&'static str, (u32, u32), &'static [Method])> {
        self.services.iter().map(|(name, service)| {
            let latest = self.prototypes[name].version();
            (*name, (self.versions.of(name), latest), service.methods())
        })
    }
}

/// The services of a build, each as of its latest version.
fn prototypes(factories: &[ServiceFactory]) -> Result<Services, RegisterError> {
    let mut services = Services::new();
    for factory in factories {
        let service = factory();
        let name = service.name();
        if name.is_empty() || name.len() > 255 {
            return Err(RegisterError::Length(name));
        }
        if name == BRAFT {
            return Err(RegisterError::Reserved(name));
        }
        let old = service.at_version(1).name();
        if old != name {
            return Err(RegisterError::Migration { name, old });
        }
        if services.insert(name, service).is_some() {
            return Err(RegisterError::Duplicate(name));
        }
    }
    Ok(services)
}

fn find<'a>(services: &'a Services, name: &str) -> Result<&'a dyn AnyService, Error> {
    match services.get(name) {
        Some(service) => Ok(&**service),
        None => Err(Error::rejected(format!(
            "no service {name:?} on this node; it has {:?}",
            services.keys().collect::<Vec<_>>()
        ))),
    }
}
