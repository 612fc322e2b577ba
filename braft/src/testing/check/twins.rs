//! One service beside its twin that is saved and loaded before each step.
//!
//! A replica that came from a snapshot must behave as one that applied every command. What breaks
//! that shows here: skipped fields, maps whose order depends on their history, types that do not
//! read back as what was written.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::again;
use super::invent::{InventError, below, invent_call};
use super::readable::{encoded, readable};
use crate::codec;
use crate::context::{LogPosition, RequestId, Rng};
use crate::effects::{Effects, MAX_WAKES};
use crate::error::Error;
use crate::service::{AnyService, Moment, Service, factory};

/// Of so many steps one is a query.
const QUERY_ONE_IN: u32 = 4;
/// Runs spent on making a failing history shorter.
const MAX_SHRINK_RUNS: usize = 2_000;
/// Before every so many steps, time passes until the next wake is due.
const JUMP_EVERY: u64 = 4;
/// Log time of the first step: 2000-01-01 00:00 UTC.
const START: Duration = Duration::from_secs(946_684_800);

/// One step of a history.
#[derive(Clone)]
pub(super) struct Step {
    is_command: bool,
    /// As MessagePack.
    call: Vec<u8>,
    /// For people.
    text: String,
}

impl Step {
    pub(super) fn new(is_command: bool, call: Vec<u8>, text: String) -> Self {
        Step {
            is_command,
            call,
            text,
        }
    }
}

/// What went wrong, and at which step.
struct Broken {
    at: usize,
    why: String,
}

/// A history after which a service and its twin differ.
pub(super) struct Difference {
    service: &'static str,
    seed: u64,
    steps: Vec<Step>,
    broken: Broken,
}

/// Plays one random history; the shortest one found comes back if it fails.
pub(super) fn play<S: Service>(seed: u64, steps: usize) -> Result<Option<Difference>, InventError> {
    Ok(replay::<S>(history::<S>(seed, steps)?, seed))
}

/// Plays a given history.
pub(super) fn replay<S: Service>(mut history: Vec<Step>, seed: u64) -> Option<Difference> {
    let broken = run::<S>(&history, seed)?;
    history.truncate(broken.at + 1);
    let broken = shrink::<S>(&mut history, seed, broken);
    Some(Difference {
        service: S::NAME,
        seed,
        steps: history,
        broken,
    })
}

fn history<S: Service>(seed: u64, steps: usize) -> Result<Vec<Step>, InventError> {
    let mut rng = Rng::new(seed, 0);
    let has = |commands: bool| {
        S::METHODS
            .iter()
            .any(|method| method.is_command == commands)
    };
    (0..steps)
        .map(|_| {
            let query = has(false) && (!has(true) || below(&mut rng, QUERY_ONE_IN) == 0);
            if query {
                Ok(step(
                    false,
                    &invent_call::<S::Query>(&mut rng, S::__GENERATORS)?,
                ))
            } else {
                Ok(step(
                    true,
                    &invent_call::<S::Command>(&mut rng, S::__GENERATORS)?,
                ))
            }
        })
        .collect()
}

fn step<T: serde::Serialize>(is_command: bool, call: &T) -> Step {
    let (call, text) = encoded(call);
    Step::new(is_command, call, text)
}

/// Plays a history; the first difference.
fn run<S: Service>(history: &[Step], seed: u64) -> Option<Broken> {
    let mut twins = Twins::<S>::new(seed);
    for (at, step) in history.iter().enumerate() {
        if let Err(why) = twins.play(at, step) {
            return Some(Broken { at, why });
        }
    }
    None
}

/// A service, its twin, and what they have asked for.
struct Twins<S> {
    live: Box<dyn AnyService>,
    twin: Box<dyn AnyService>,
    seed: u64,
    now: Duration,
    /// Log times at which the timer is to run, in nanoseconds.
    wakes: BTreeSet<u64>,
    service: PhantomData<fn() -> S>,
}

impl<S: Service> Twins<S> {
    fn new(seed: u64) -> Self {
        Twins {
            live: factory::<S>()(),
            twin: factory::<S>()(),
            seed,
            now: START,
            wakes: BTreeSet::new(),
            service: PhantomData,
        }
    }

    fn play(&mut self, at: usize, step: &Step) -> Result<(), String> {
        let index = at as u64 + 1;
        self.now += Duration::from_millis(1);
        if index.is_multiple_of(JUMP_EVERY)
            && let Some(first) = self.wakes.first()
        {
            self.now = self.now.max(Duration::from_nanos(*first));
        }
        let mut moment = Moment {
            position: LogPosition {
                term: 1,
                index,
                ordinal: 0,
            },
            request: None,
            now: self.now,
            seed: self.seed.wrapping_add(index),
            room: MAX_WAKES,
        };
        let later = self.wakes.split_off(&(nanos(self.now) + 1));
        for _ in std::mem::replace(&mut self.wakes, later) {
            let timer = S::TIMER.ok_or("a command called wake_at, and there is no #[timer]")?;
            self.both(timer, moment, |service, moment| {
                Ok((Vec::new(), service.wake(moment)))
            })?;
            moment.position.ordinal += 1;
        }
        // A cluster of this version refuses it.
        if self.is_refused(step) {
            return Ok(());
        }
        moment.request = Some(RequestId {
            session: 1,
            sequence: index,
        });
        self.both(&step.text, moment, |service, moment| {
            if step.is_command {
                let applied = service.apply(moment, &step.call)?;
                Ok((applied.answer?, applied.effects))
            } else {
                let answer = service.query(moment, &step.call)?;
                Ok((answer, Effects::default()))
            }
        })
    }

    fn is_refused(&self, step: &Step) -> bool {
        if step.is_command {
            return self.live.refusal(&step.call).is_some();
        }
        let query = codec::decode::<S::Query>(&step.call);
        query.is_ok_and(|query| {
            let life = S::__query_life(&query);
            life.refusal(S::NAME, S::VERSION).is_some()
        })
    }

    /// Calls both, the twin after it went through a snapshot, and compares.
    fn both(
        &mut self,
        call: &str,
        moment: Moment,
        run: impl Fn(&mut dyn AnyService, Moment) -> Result<(Vec<u8>, Effects), Error>,
    ) -> Result<(), String> {
        reload::<S>(&mut self.twin)?;
        let live = caught(|| run(&mut *self.live, moment));
        let twin = caught(|| run(&mut *self.twin, moment));
        let (live, effects) = live.map_err(|why| format!("{call}: {why}"))?;
        let (twin, others) =
            twin.map_err(|why| format!("{call}, after the state was saved and loaded: {why}"))?;
        compare("answer", &live, &twin)?;
        if effects != others {
            return Err(format!(
                "{call}: what it emits, or asks to be woken for, differs once the state was saved \
                 and loaded"
            ));
        }
        self.wakes.extend(effects.wakes);
        compare("state", &saved(&*self.live)?, &saved(&*self.twin)?)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1)
}

/// Puts a service through a snapshot.
fn reload<S: Service>(service: &mut Box<dyn AnyService>) -> Result<(), String> {
    let bytes = saved(&**service)?;
    let mut fresh = factory::<S>()();
    fresh
        .load(&mut bytes.as_slice())
        .map_err(|error| format!("the saved state cannot be loaded: {error}"))?;
    *service = fresh;
    Ok(())
}

fn saved(service: &dyn AnyService) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let saved = service.save(&mut bytes);
    saved.map_err(|error| format!("the state cannot be saved: {error}"))?;
    Ok(bytes)
}

/// What a call comes to; the text of the error or the panic instead.
fn caught<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(format!("it panicked: {}", text.unwrap_or_default()))
        }
    }
}

fn compare(what: &str, live: &[u8], twin: &[u8]) -> Result<(), String> {
    if live == twin {
        return Ok(());
    }
    Err(format!(
        "the {what} differs once the state was saved and loaded:\n    live    {}\n    loaded  {}",
        readable(live),
        readable(twin)
    ))
}

/// Leaves out steps for as long as the rest still fails.
fn shrink<S: Service>(history: &mut Vec<Step>, seed: u64, mut broken: Broken) -> Broken {
    let mut runs = 0;
    let mut at = history.len();
    while at > 0 && runs < MAX_SHRINK_RUNS {
        at -= 1;
        let mut shorter = history.clone();
        shorter.remove(at);
        runs += 1;
        if let Some(still) = run::<S>(&shorter, seed) {
            shorter.truncate(still.at + 1);
            at = at.min(shorter.len());
            *history = shorter;
            broken = still;
        }
    }
    broken
}

impl Difference {
    /// The steps, and what went wrong.
    pub(super) fn timeline(&self) -> String {
        let mut text = String::new();
        for (number, step) in self.steps.iter().enumerate() {
            let kind = if step.is_command {
                "command"
            } else {
                "query  "
            };
            let mark = if number == self.broken.at { ">" } else { " " };
            let _ = writeln!(text, "{mark} {:>3}  {kind}  {}", number + 1, step.text);
        }
        let _ = writeln!(text, "  {}", self.broken.why);
        text
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, seed) = (self.service, self.seed);
        writeln!(f, "service {service} differs from its twin (seed {seed}):")?;
        write!(f, "{}{}", self.timeline(), again(seed))
    }
}
