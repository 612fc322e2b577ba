//! A client whose attempts a test sees and meddles with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::hop::{Choice, Hop};
use crate::event::{EventSource, Since};
use crate::request::{Action, Incoming, Refusal, Reply, ReplyTo};

/// Sees the attempts of a client. Called within the task that polls the call.
pub(crate) trait Tap: Send + Sync + 'static {
    /// An attempt of a command or query is about to be sent.
    fn attempt(&self, action: Action) -> Arc<dyn AttemptTap>;
}

/// Sees the end of one attempt.
pub(crate) trait AttemptTap: Send + Sync + 'static {
    /// The answer that came, and what is to become of it.
    fn answered(&self, reply: &Reply) -> Fate;
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The client gets it.
    Deliver,
    /// It is lost on its way.
    Lose,
    /// The client gets it, and the same attempt reaches a node once more, so much later.
    Repeat(Duration),
}

/// A hop with a tap.
pub(super) struct Tapped<H> {
    pub(super) hop: Arc<H>,
    pub(super) tap: Arc<dyn Tap>,
}

impl<H: Hop> Hop for Tapped<H> {
    fn submit(&self, call: Incoming) -> Choice {
        if !matches!(call.action, Action::Command { .. } | Action::Query { .. }) {
            return self.hop.submit(call);
        }
        let tap = self.tap.attempt(call.action);
        let (reply, answer) = oneshot::channel();
        let again = Incoming {
            service: Arc::clone(&call.service),
            payload: call.payload.clone(),
            key: call.key.clone(),
            reply: ReplyTo::Task(oneshot::channel().0),
            ..call
        };
        let choice = self.hop.submit(Incoming {
            reply: ReplyTo::Task(reply),
            service: Arc::clone(&again.service),
            payload: again.payload.clone(),
            key: again.key.clone(),
            ..again
        });
        let hop = Arc::clone(&self.hop);
        tokio::spawn(async move {
            let Ok(answer) = answer.await else {
                return;
            };
            match tap.answered(&answer) {
                Fate::Deliver => call.reply.send(answer),
                Fate::Lose => drop(call.reply),
                Fate::Repeat(pause) => {
                    call.reply.send(answer);
                    tokio::time::sleep(pause).await;
                    hop.submit(again);
                }
            }
        });
        choice
    }

    fn learn(&self, choice: Choice, refusal: &Refusal) -> bool {
        self.hop.learn(choice, refusal)
    }

    fn is_succeeded(&self, choice: Choice) -> bool {
        self.hop.is_succeeded(choice)
    }

    fn events(&self, attempt: usize, service: &'static str, since: Since) -> EventSource {
        self.hop.events(attempt, service, since)
    }

    fn nodes(&self) -> usize {
        self.hop.nodes()
    }
}
