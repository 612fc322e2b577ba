//! A service in one process, without a cluster.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::call::{Answer, Channel, Operation, Request, Transport};
use crate::context::{LogPosition, RequestId};
use crate::error::Error;
use crate::service::{AnyService, Moment, Service, factory};

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
/// a test sees the same every time. A panic in an operation reaches the caller.
pub fn loopback<S: Service>() -> S::Client {
    Channel::new(Loopback(Mutex::new(Replica {
        service: factory::<S>()(),
        applied: 0,
    })))
    .into()
}

struct Loopback(Mutex<Replica>);

struct Replica {
    service: Box<dyn AnyService>,
    /// How many commands were applied: the log index of the last.
    applied: u32,
}

impl Transport for Loopback {
    fn send(&self, request: Request) -> Answer {
        // A panic in an operation is the test's own; what the service holds then is what the
        // operation left.
        let mut replica = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = replica.carry_out(&request).map(Bytes::from);
        Box::pin(std::future::ready(answer))
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
                let moment = self.moment(Some(RequestId {
                    session: 1,
                    sequence: self.applied.into(),
                }));
                self.service.apply(moment, &request.payload)?
            }
            Operation::Query(_) => self.service.query(self.moment(None), &request.payload),
        }
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
        }
    }
}
