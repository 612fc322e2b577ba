//! A service in one process, without a cluster.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::call::{Answer, Channel, Operation, Request, Transport};
use crate::context::{LogPosition, RequestId};
use crate::effects::{Effects, MAX_WAKES};
use crate::error::Error;
use crate::event::Since;
use crate::service::{AnyService, Moment, Service, factory};
use crate::subscription::Batches;

/// 2000-01-01 00:00 UTC, as [`Context::for_test`](crate::Context::for_test).
const START: Duration = Duration::from_secs(946_684_800);
/// By how much each command advances the clock.
const TICK: Duration = Duration::from_millis(1);
/// The term of all commands.
const TERM: u64 = 1;

/// A client of a fresh service in this process: for unit tests of the typed surface.
///
/// There is no cluster, no log and no disk, and every read level is the same. Arguments and answers
/// go through the codec as they would on the wire. Commands get log positions 1.1.0, 1.2.0, …,
/// times that start at 2000-01-01 00:00 UTC and advance by a millisecond, and the index as seed, so
/// a test sees the same every time. A timer that is due runs before the next command. A panic in an operation reaches the caller.
pub fn loopback<S: Service>() -> S::Client {
    Channel::new(Loopback(Mutex::new(Replica {
        service: factory::<S>()(),
        applied: 0,
        wakes: BTreeSet::new(),
    })))
    .into()
}

struct Loopback(Mutex<Replica>);

struct Replica {
    service: Box<dyn AnyService>,
    /// How many commands were applied: the log index of the last.
    applied: u32,
    /// Log times at which the timer is to run, in nanoseconds.
    wakes: BTreeSet<u64>,
}

impl Transport for Loopback {
    fn send(&self, request: Request) -> Answer {
        // A panic in an operation is the test's own; what the service holds then is what the
        // operation left.
        let mut replica = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = replica.carry_out(&request).map(Bytes::from);
        Box::pin(std::future::ready(answer))
    }

    fn events(&self, _: &'static str, _: Since) -> Batches {
        let text = "events are kept by a cluster: start one, or look at Context::emitted";
        let refused = futures_util::stream::once(async move { Err(Error::rejected(text)) });
        Box::pin(refused)
    }
}

impl Replica {
    fn carry_out(&mut self, request: &Request) -> Result<Vec<u8>, Error> {
        let name = self.service.name();
        if request.service != name {
            return Err(Error::rejected(format!(
                "there is only service {name} here, not {}",
                request.service
            )));
        }
        match request.operation {
            Operation::Command { fence: Some(term) } if term.get() != TERM => {
                Err(Error::fenced(format!("the term is {TERM}, not {term}")))
            }
            Operation::Command { .. } => {
                self.service.check_command(&request.payload)?;
                self.applied += 1;
                let mut moment = self.moment(None);
                self.run_timers(&mut moment);
                moment.request = Some(RequestId {
                    session: 1,
                    sequence: self.applied.into(),
                });
                let applied = self.service.apply(moment, &request.payload)?;
                self.take(applied.effects);
                applied.answer
            }
            Operation::Query(_) => self.service.query(self.moment(None), &request.payload),
        }
    }

    fn run_timers(&mut self, moment: &mut Moment) {
        let now = u64::try_from(moment.now.as_nanos()).unwrap_or(u64::MAX);
        let later = self.wakes.split_off(&now.saturating_add(1));
        for _ in std::mem::replace(&mut self.wakes, later) {
            let effects = self.service.wake(*moment);
            self.take(effects);
            moment.position.ordinal += 1;
        }
    }

    fn take(&mut self, effects: Effects) {
        self.wakes.extend(effects.wakes);
    }

    fn moment(&self, request: Option<RequestId>) -> Moment {
        Moment {
            position: LogPosition {
                term: TERM,
                index: self.applied.into(),
                ordinal: 0,
            },
            request,
            now: START + TICK * self.applied,
            seed: self.applied.into(),
            room: MAX_WAKES,
        }
    }
}
