//! Carries one call through its attempts.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{Instrument, Span};

use super::budget::Budget;
use super::follow::follow;
use super::hop::{Choice, Hop, Local, Remote};
use super::retry::{Trail, Verdict};
use super::session::{Session, Sessions};
use crate::call::{Answer, Operation, Place, ReadLevel, Request, Transport};
use crate::error::{Error, ErrorKind};
use crate::event::Since;
use crate::request::{Action, Gateway, Incoming, Refusal, Reply, ReplyTo, check_size};
use crate::session;
use crate::subscription::Batches;
use crate::trace::TraceContext;

/// The time a call has, retries included, unless it says otherwise.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
/// How often it is looked whether the node that has a call is still the one to ask.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);
/// What part of its time a command may wait for room in the window of its client's session.
const WINDOW_WAIT_PART: u32 = 2;
/// A longer deadline is cut to this: the wire counts milliseconds in 32 bits.
const MAX_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// The transport behind a typed client.
///
/// A call runs in its caller's own task: nothing is spawned for it, and no lock is held while it
/// waits.
pub(crate) struct Caller(Arc<dyn Sender>);

/// [`Engine`] without its type parameter.
trait Sender: Send + Sync {
    fn send(self: Arc<Self>, request: Request) -> Answer;
    fn events(&self, service: &'static str, since: Since) -> Batches;
}

impl Caller {
    /// A caller that hands its calls to the node of this process, without gRPC.
    pub(crate) fn local(gateway: Arc<dyn Gateway>) -> Self {
        Self::over(Local(gateway))
    }

    pub(super) fn remote(hop: Remote) -> Self {
        Self::over(hop)
    }

    #[cfg(feature = "testing")]
    pub(super) fn tapped(hop: impl Hop, tap: Arc<dyn super::tap::Tap>) -> Self {
        let hop = Arc::new(hop);
        Self::over(super::tap::Tapped { hop, tap })
    }

    fn over(hop: impl Hop) -> Self {
        Caller(Arc::new(Engine {
            hop: Arc::new(hop),
            sessions: Sessions::default(),
            seen: Place::default(),
            budget: Budget::default(),
        }))
    }
}

impl Transport for Caller {
    fn send(&self, request: Request) -> Answer {
        Arc::clone(&self.0).send(request)
    }

    fn events(&self, service: &'static str, since: Since) -> Batches {
        self.0.events(service, since)
    }
}

struct Engine<H: Hop> {
    hop: Arc<H>,
    sessions: Sessions,
    /// How far this client has seen the state.
    seen: Place,
    budget: Budget,
}

impl<H: Hop> Sender for Engine<H> {
    fn send(self: Arc<Self>, request: Request) -> Answer {
        Box::pin(async move { self.call(request).await })
    }

    fn events(&self, service: &'static str, since: Since) -> Batches {
        follow(self.hop.clone(), service, since)
    }
}

/// One call, without its session.
struct Task {
    service: Arc<str>,
    payload: Bytes,
    key: Option<Bytes>,
    deadline: Instant,
    allowed: Duration,
    /// The caller's own, if it is not the client as a whole.
    place: Option<Arc<Place>>,
}

impl Task {
    /// The same time for an action of the caller's own.
    fn aside(&self) -> Self {
        Task {
            service: "".into(),
            payload: Bytes::new(),
            key: None,
            deadline: self.deadline,
            allowed: self.allowed,
            place: None,
        }
    }
}

/// Why a round of attempts ended without an answer.
enum Ended {
    Failed(Error),
    /// Wait that long, then send the command in another session.
    SessionGone(Duration),
}

impl<H: Hop> Engine<H> {
    async fn call(&self, request: Request) -> Result<Bytes, Error> {
        check_size(&request.payload)?;
        let allowed = request.deadline.unwrap_or(DEFAULT_DEADLINE);
        let allowed = allowed.min(MAX_DEADLINE);
        let task = Task {
            service: request.service.into(),
            payload: request.payload,
            key: request.key,
            deadline: Instant::now() + allowed,
            allowed,
            place: request.place,
        };
        match request.operation {
            Operation::Command { fence } => self.command(&task, fence).await,
            Operation::Query(level) => {
                let min_index = match level {
                    ReadLevel::Session => task.place.as_deref().unwrap_or(&self.seen).index(),
                    ReadLevel::Linearizable
                    | ReadLevel::Lease
                    | ReadLevel::Follower
                    | ReadLevel::LocalAtMost(_)
                    | ReadLevel::Local => 0,
                };
                let action = Action::Query { level, min_index };
                self.harmless(&task, action).await
            }
        }
    }

    async fn command(&self, task: &Task, fence: Option<NonZeroU64>) -> Result<Bytes, Error> {
        let mut trail = Trail::new(true, task.allowed);
        if session::are_off() {
            return self.once(task, fence, &mut trail).await;
        }
        loop {
            let session = self.session(task).await?;
            // Whoever waits longest comes first. Under more load than the cluster carries, all would be
            // sent when their time is about to be up, and be carried out in vain.
            let wait = task.allowed / WINDOW_WAIT_PART;
            let Ok(ticket) = timeout_at(task.deadline - wait, session.ticket()).await else {
                return Err(trail.crowded_out(wait));
            };
            let Some(ticket) = ticket else {
                continue;
            };
            let action = || ticket.action(fence);
            match self.attempts(task, action, &mut trail).await {
                Ok(answer) => return Ok(answer),
                Err(Ended::Failed(error)) => return Err(error),
                Err(Ended::SessionGone(pause)) => {
                    self.sessions.retire(&session);
                    self.pause(task, pause, &mut trail).await?;
                }
            }
        }
    }

    /// A command that is not kept from running twice.
    async fn once(
        &self,
        task: &Task,
        fence: Option<NonZeroU64>,
        trail: &mut Trail,
    ) -> Result<Bytes, Error> {
        let action = || Action::Command {
            session: 0,
            sequence: 0,
            responded_to: 0,
            fence,
        };
        match self.attempts(task, action, trail).await {
            Ok(answer) => Ok(answer),
            Err(Ended::Failed(error)) => Err(error),
            Err(Ended::SessionGone(_)) => Err(trail.expired(false)),
        }
    }

    /// The present session, or a new one; of many commands that need one, one opens it.
    async fn session(&self, task: &Task) -> Result<Arc<Session>, Error> {
        let present = self.sessions.present();
        if let Some(session) = present.get() {
            return Ok(Arc::clone(session));
        }
        let opening = present.get_or_try_init(|| async {
            // A lost attempt leaves a session that nobody uses, until it expires.
            let answer = self.harmless(&task.aside(), Action::OpenSession).await?;
            let id = <[u8; 8]>::try_from(&*answer).map_err(|_| {
                Error::unavailable(format!(
                    "a session id has 8 bytes, the node sent {}; \
                     use a client of the same version",
                    answer.len()
                ))
            })?;
            Ok(Session::new(u64::from_le_bytes(id)))
        });
        match timeout_at(task.deadline, opening).await {
            Ok(session) => session.map(Arc::clone),
            Err(_) => Err(Error::unavailable(format!(
                "no session could be opened within {:?}",
                task.allowed
            ))),
        }
    }

    /// Attempts of what may be repeated without harm.
    async fn harmless(&self, task: &Task, action: Action) -> Result<Bytes, Error> {
        let mut trail = Trail::new(false, task.allowed);
        match self.attempts(task, || action, &mut trail).await {
            Ok(answer) => Ok(answer),
            Err(Ended::Failed(error)) => Err(error),
            Err(Ended::SessionGone(_)) => Err(trail.expired(false)),
        }
    }

    async fn attempts(
        &self,
        task: &Task,
        action: impl Fn() -> Action + Send,
        trail: &mut Trail,
    ) -> Result<Bytes, Ended> {
        let span = span(&task.service, action());
        let attempts = self.attempts_in_span(task, action, trail);
        attempts.instrument(span).await
    }

    async fn attempts_in_span(
        &self,
        task: &Task,
        action: impl Fn() -> Action + Send,
        trail: &mut Trail,
    ) -> Result<Bytes, Ended> {
        let mut given_up = None;
        loop {
            let (reply, answer) = oneshot::channel();
            let choice = self.hop.submit(Incoming {
                service: Arc::clone(&task.service),
                action: action(),
                payload: task.payload.clone(),
                key: task.key.clone(),
                deadline: task.deadline,
                forwarded: false,
                trace: TraceContext::current(),
                reply: ReplyTo::Task(reply),
            });
            let refusal = match self.answer(task, choice, answer, &mut given_up).await {
                Some(Ok(Reply {
                    index,
                    result: Ok(answer),
                })) => {
                    // Before the caller learns of the answer: its next call must see as much.
                    self.seen.reach(index);
                    if let Some(place) = &task.place {
                        place.reach(index);
                    }
                    self.budget.earn();
                    return Ok(answer);
                }
                Some(Ok(Reply {
                    result: Err(refusal),
                    ..
                })) => refusal,
                Some(Err(lost)) => lost,
                None => return Err(Ended::Failed(trail.expired(true))),
            };
            let leader_found = self.hop.learn(choice, &refusal);
            // One that may have been applied goes on: what became of it is worth the attempts.
            let is_busy = refusal.kind == ErrorKind::Busy && !trail.has_lost();
            if is_busy && !self.budget.spend() {
                return Err(Ended::Failed(refusal.into()));
            }
            let pause = match trail.judge(refusal, leader_found, self.hop.nodes()) {
                Verdict::Retry(pause) => pause,
                Verdict::Reopen(pause) => return Err(Ended::SessionGone(pause)),
                Verdict::Fail(error) => return Err(Ended::Failed(error)),
            };
            self.pause(task, pause, trail)
                .await
                .map_err(Ended::Failed)?;
        }
    }

    /// Waits for what comes of an attempt; `None` if the deadline comes first.
    ///
    /// For a node that another has succeeded and that says nothing the caller waits no longer: it may be
    /// cut off. Its attempt is given up, which counts as lost; should it be answered all the same, a long
    /// query say, that is the answer.
    async fn answer(
        &self,
        task: &Task,
        choice: Choice,
        mut answer: oneshot::Receiver<Reply>,
        given_up: &mut Option<oneshot::Receiver<Reply>>,
    ) -> Option<Result<Reply, Refusal>> {
        let mut look = Instant::now() + PATIENCE;
        loop {
            let answered = either(&mut answer, given_up);
            match timeout_at(look.min(task.deadline), answered).await {
                Ok(Ok(reply)) => return Some(Ok(reply)),
                Ok(Err(_)) => {
                    let text = "the node dropped the call without an answer";
                    return Some(Err(Refusal::lost(text)));
                }
                Err(_) if look >= task.deadline => return None,
                Err(_) if self.hop.is_succeeded(choice) => {
                    *given_up = Some(answer);
                    let text = "the leader did not answer, and another one leads by now";
                    return Some(Err(Refusal::lost(text)));
                }
                Err(_) => look += PATIENCE,
            }
        }
    }

    /// Waits before the next attempt, unless the deadline comes first.
    async fn pause(&self, task: &Task, pause: Duration, trail: &mut Trail) -> Result<(), Error> {
        let left = task.deadline.saturating_duration_since(Instant::now());
        if left <= pause {
            sleep_until(task.deadline).await;
            return Err(trail.expired(false));
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
        Ok(())
    }
}

/// What comes of an attempt, or the answer to an earlier one of the same request that was given up.
async fn either(
    answer: &mut oneshot::Receiver<Reply>,
    given_up: &mut Option<oneshot::Receiver<Reply>>,
) -> Result<Reply, oneshot::error::RecvError> {
    loop {
        let Some(earlier) = given_up else {
            return answer.await;
        };
        tokio::select! {
            biased;
            reply = &mut *answer => return reply,
            reply = earlier => {
                *given_up = None;
                // What was refused counts as lost already.
                if let Ok(reply @ Reply { result: Ok(_), .. }) = reply {
                    return Ok(reply);
                }
            }
        }
    }
}

/// The span of a call, with its request id.
fn span(service: &str, action: Action) -> Span {
    match action {
        Action::Command {
            session, sequence, ..
        } => tracing::debug_span!("command", service, session, sequence),
        Action::Query { .. } => tracing::debug_span!("query", service),
        Action::OpenSession | Action::CloseSession { .. } | Action::ReadIndex => Span::none(),
    }
}

impl<H: Hop> Drop for Engine<H> {
    fn drop(&mut self) {
        // The server would keep the session until it expires; nobody waits for the answer.
        if let Some(session) = self.sessions.present().get()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            self.hop.submit(Incoming {
                service: "".into(),
                action: Action::CloseSession {
                    session: session.id(),
                },
                payload: Bytes::new(),
                key: None,
                deadline: Instant::now() + DEFAULT_DEADLINE,
                forwarded: false,
                trace: None,
                reply: ReplyTo::Task(oneshot::channel().0),
            });
        }
    }
}
