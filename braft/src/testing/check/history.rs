//! What the clients of a check did, as they saw it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::invent::below;
use super::script::CallId;
use crate::call::ReadLevel;
use crate::client::{AttemptTap, Fate, Tap};
use crate::context::{RequestId, Rng};
use crate::error::{Error, ErrorKind, Outcome};
use crate::request::{Action, Reply};

/// Of so many answers one is lost on its way.
const LOSE_ONE_IN: u32 = 16;
/// Of so many attempts one reaches a node once more, later.
const REPEAT_ONE_IN: u32 = 8;
/// The longest time after which it does.
const MAX_REPEAT_MS: u32 = 400;

/// One call of a client.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// None for one that is not among those of the seed.
    pub(super) id: Option<CallId>,
    pub(super) client: usize,
    /// None for a command.
    pub(super) read: Option<ReadLevel>,
    /// As MessagePack.
    pub(super) call: Bytes,
    /// For people.
    pub(super) text: String,
    /// Since the start of the check.
    pub(super) began: Duration,
    pub(super) ended: Duration,
    /// The ids under which a command was sent: one, or more after the first session had expired.
    pub(super) requests: Vec<RequestId>,
    /// The log index up to which the answer has seen the state.
    pub(super) index: u64,
    pub(super) result: Result<Bytes, Failed>,
}

/// Why a call failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) kind: ErrorKind,
    pub(super) outcome: Outcome,
    pub(super) message: String,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed {
            kind: error.kind(),
            outcome: error.outcome(),
            message: error.to_string(),
        }
    }
}

/// All calls, in the order in which they ended.
#[derive(Default)]
pub(super) struct History(Mutex<Vec<Operation>>);

impl History {
    fn operations(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, operation: Operation) {
        self.operations().push(operation);
    }

    pub(super) fn len(&self) -> usize {
        self.operations().len()
    }

    pub(super) fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut *self.operations())
    }
}

tokio::task_local! {
    /// The call that the present task carries out.
    static CALL: Arc<Attempts>;
}

/// The attempts of one call.
#[derive(Default)]
pub(super) struct Attempts {
    requests: Mutex<Vec<RequestId>>,
    index: AtomicU64,
}

impl Attempts {
    /// Carries out a call, and notes its attempts.
    pub(super) async fn note<T>(call: impl Future<Output = T>) -> (T, Vec<RequestId>, u64) {
        let attempts = Arc::new(Attempts::default());
        let result = CALL.scope(Arc::clone(&attempts), call).await;
        let requests = std::mem::take(&mut *attempts.requests());
        (result, requests, attempts.index.load(Ordering::Acquire))
    }

    fn requests(&self) -> MutexGuard<'_, Vec<RequestId>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees all attempts of one client; loses and repeats some, or none.
pub(super) struct Meddler(Option<Mutex<Rng>>);

impl Meddler {
    pub(super) fn tap(rng: Rng) -> Arc<dyn Tap> {
        Arc::new(Meddler(Some(Mutex::new(rng))))
    }

    /// One that only looks on.
    pub(super) fn onlooker() -> Arc<dyn Tap> {
        Arc::new(Meddler(None))
    }

    fn fate(&self, is_command: bool) -> Fate {
        let Some(rng) = &self.0 else {
            return Fate::Deliver;
        };
        let mut rng = rng.lock().unwrap_or_else(PoisonError::into_inner);
        if below(&mut rng, LOSE_ONE_IN) == 0 {
            Fate::Lose
        } else if is_command && below(&mut rng, REPEAT_ONE_IN) == 0 {
            let pause = below(&mut rng, MAX_REPEAT_MS);
            Fate::Repeat(Duration::from_millis(pause.into()))
        } else {
            Fate::Deliver
        }
    }
}

impl Tap for Meddler {
    fn attempt(&self, action: Action) -> Arc<dyn AttemptTap> {
        let attempts = CALL.try_with(Arc::clone).unwrap_or_default();
        let is_command = if let Action::Command {
            session, sequence, ..
        } = action
        {
            let id = RequestId { session, sequence };
            let mut requests = attempts.requests();
            if requests.last() != Some(&id) {
                requests.push(id);
            }
            true
        } else {
            false
        };
        let fate = self.fate(is_command);
        Arc::new(Attempt { attempts, fate })
    }
}

struct Attempt {
    attempts: Arc<Attempts>,
    fate: Fate,
}

impl AttemptTap for Attempt {
    fn answered(&self, reply: &Reply) -> Fate {
        // A refusal is what a real network cannot repeat or lose without the connection: the client
        // would then be told of a lost attempt, and this one was not.
        if reply.result.is_err() {
            return Fate::Deliver;
        }
        if self.fate != Fate::Lose {
            self.attempts.index.store(reply.index, Ordering::Release);
        }
        self.fate
    }
}
