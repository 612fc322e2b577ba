//! Random calls of several clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::history::{Attempts, Failed, History, Meddler, Operation};
use super::invent::{InventError, below, invent_call};
use super::readable::encoded;
use super::run::Extent;
use super::script::{CallId, Script};
use crate::call::{Channel, Operation as What, ReadLevel, Request};
use crate::client::tapped;
use crate::context::Rng;
use crate::net::Dialer;
use crate::service::Service;

/// Of so many calls one is a query.
const QUERY_ONE_IN: u32 = 3;
/// Calls of one client that are under way at once.
const CALLS_EACH: usize = 2;
/// Of so many calls one has a deadline that a fault outlasts.
const HASTY_ONE_IN: u32 = 6;
const HASTY: Duration = Duration::from_millis(120);
const PATIENT: Duration = Duration::from_secs(5);
/// The longest pause of a client between two calls.
const MAX_PAUSE_MS: u32 = 12;
/// The same where a check is to last.
const MAX_LONG_PAUSE_MS: u32 = 200;
/// From one look whether the time is up to the next.
const SHORT_PAUSE: Duration = Duration::from_millis(20);

/// The clients of one check.
pub(super) struct Workload {
    pub(super) history: History,
    pub(super) start: Instant,
    begun: AtomicUsize,
    extent: Extent,
    script: Option<Arc<Script>>,
    stop: AtomicBool,
}

/// What becomes of a call that is due.
enum Turn {
    Make,
    /// Once it is so late, since the start.
    MakeAt(Duration),
    Skip,
}

impl Workload {
    pub(super) fn new(extent: Extent, script: Option<Arc<Script>>) -> Arc<Self> {
        Arc::new(Workload {
            history: History::default(),
            start: Instant::now(),
            begun: AtomicUsize::new(0),
            extent,
            script,
            stop: AtomicBool::new(false),
        })
    }

    /// Ends the calls before all are made: what was to be found is found.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Makes all calls.
    pub(super) async fn run<S: Service>(
        self: &Arc<Self>,
        seed: u64,
        dialers: &[Dialer],
        addresses: &[String],
    ) -> Result<(), InventError> {
        let mut calling = Vec::new();
        for (client, dialer) in dialers.iter().enumerate() {
            // Each begins at another node.
            let mut addresses = addresses.to_vec();
            let first = client % addresses.len();
            addresses.rotate_left(first);
            let channel = tapped(
                addresses,
                dialer.clone(),
                Meddler::tap(rng(seed, client, 0)),
            );
            for strand in 1..=CALLS_EACH {
                let (workload, channel) = (Arc::clone(self), channel.clone());
                let rng = rng(seed, client, strand);
                calling.push(tokio::spawn(async move {
                    workload.call::<S>((client, strand), channel, rng).await
                }));
            }
        }
        for calling in calling {
            match calling.await {
                Ok(ended) => ended?,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        if let Some(script) = &self.script {
            while self.start.elapsed() < script.until && !self.stop.load(Ordering::Relaxed) {
                tokio::time::sleep(SHORT_PAUSE).await;
            }
        }
        Ok(())
    }

    /// What becomes of this call; nothing if it and all after it are not made.
    fn turn(&self, id: CallId) -> Option<Turn> {
        let Some(script) = &self.script else {
            return self.goes_on().then_some(Turn::Make);
        };
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let last = CallId {
            number: usize::MAX,
            ..id
        };
        let (next, at) = script.calls.range(id..=last).next()?;
        Some(if *next == id {
            Turn::MakeAt(*at)
        } else {
            Turn::Skip
        })
    }

    /// Whether there is another call to make.
    fn goes_on(&self) -> bool {
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        let is_due = match self.extent {
            Extent::Calls { calls, .. } => begun < calls,
            Extent::Time(time) => self.start.elapsed() < time,
        };
        is_due && !self.stop.load(Ordering::Relaxed)
    }

    fn max_pause_ms(&self) -> u32 {
        match self.extent {
            Extent::Calls { .. } => MAX_PAUSE_MS,
            Extent::Time(_) => MAX_LONG_PAUSE_MS,
        }
    }

    async fn call<S: Service>(
        &self,
        (client, strand): (usize, usize),
        channel: Channel,
        mut rng: Rng,
    ) -> Result<(), InventError> {
        for number in 0.. {
            let id = CallId {
                client,
                strand,
                number,
            };
            let Some(turn) = self.turn(id) else { break };
            // A call that is not made draws its numbers too, so that those after it are the same.
            let step = step::<S>(&mut rng)?;
            let hasty = below(&mut rng, HASTY_ONE_IN) == 0;
            let deadline = if hasty { HASTY } else { PATIENT };
            let pause = below(&mut rng, self.max_pause_ms());
            match turn {
                Turn::Skip => continue,
                Turn::Make => {}
                Turn::MakeAt(time) => {
                    tokio::time::sleep_until(self.start + time).await;
                    if self.stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
            // What came of it is in the history.
            drop(
                self.make::<S>((client, Some(id)), &channel, step, deadline)
                    .await,
            );
            if self.script.is_none() {
                tokio::time::sleep(Duration::from_millis(pause.into())).await;
            }
        }
        Ok(())
    }

    /// Makes one call, and writes it into the history.
    pub(super) async fn make<S: Service>(
        &self,
        (client, id): (usize, Option<CallId>),
        channel: &Channel,
        (read, call, text): Step,
        deadline: Duration,
    ) -> Result<(), Failed> {
        let request = Request {
            service: S::NAME,
            operation: match read {
                Some(level) => What::Query(level),
                None => What::Command { fence: None },
            },
            payload: call.clone().into(),
            key: None,
            deadline: Some(deadline),
            place: None,
        };
        let began = self.start.elapsed();
        let (result, requests, index) = Attempts::note(channel.send(request)).await;
        let result = result.map_err(Failed::from);
        let came = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.history.push(Operation {
            id,
            client,
            read,
            call: call.into(),
            text,
            began,
            ended: self.start.elapsed(),
            requests,
            index,
            result,
        });
        came
    }
}

fn rng(seed: u64, client: usize, strand: usize) -> Rng {
    let stream = client * (CALLS_EACH + 1) + strand;
    Rng::new(seed, u32::try_from(stream).unwrap_or(u32::MAX))
}

/// A call: how fresh its answer has to be, if it is a query; as MessagePack; for people.
pub(super) type Step = (Option<ReadLevel>, Vec<u8>, String);

/// Whether a service has commands, or queries.
fn has<S: Service>(commands: bool) -> bool {
    let mut methods = S::METHODS.iter();
    methods.any(|method| method.is_command == commands)
}

/// A random command, if the service has any.
pub(super) fn command<S: Service>(rng: &mut Rng) -> Result<Option<Step>, InventError> {
    if !has::<S>(true) {
        return Ok(None);
    }
    let (call, text) = encoded(&invent_call::<S::Command>(rng, S::__GENERATORS)?);
    Ok(Some((None, call, text)))
}

/// A random query that sees all that was acknowledged before, if the service has any.
pub(super) fn query<S: Service>(rng: &mut Rng) -> Result<Option<Step>, InventError> {
    if !has::<S>(false) {
        return Ok(None);
    }
    let (call, text) = encoded(&invent_call::<S::Query>(rng, S::__GENERATORS)?);
    Ok(Some((Some(ReadLevel::Linearizable), call, text)))
}

fn step<S: Service>(rng: &mut Rng) -> Result<Step, InventError> {
    let is_query = has::<S>(false) && (!has::<S>(true) || below(rng, QUERY_ONE_IN) == 0);
    if !is_query {
        let (call, text) = encoded(&invent_call::<S::Command>(rng, S::__GENERATORS)?);
        return Ok((None, call, text));
    }
    let (call, text) = encoded(&invent_call::<S::Query>(rng, S::__GENERATORS)?);
    let level = match below(rng, 8) {
        0 => ReadLevel::Local,
        1 => ReadLevel::Session,
        2 => ReadLevel::Lease,
        3 => ReadLevel::Follower,
        _ => ReadLevel::Linearizable,
    };
    Ok((Some(level), call, text))
}
