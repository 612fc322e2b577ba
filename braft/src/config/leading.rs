//! What a program does on the leader alone.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Config;
use crate::leadership::{LeaderChange, LeaderToken};
use crate::node::Node;

impl Config {
    /// Runs a task on the leader, and nowhere else.
    ///
    /// It is started once for each leadership of this node, when the first entry of the term has
    /// been applied here: the task sees all that was acknowledged before. Its [`LeaderToken`] says
    /// how long it may go on, and bears the fencing number. When the token is over the task should
    /// end; after one second it is dropped where it next awaits. One that ends, or panics, is not
    /// started again in the same leadership.
    ///
    /// A leader that loses touch with a quorum loses its token. If it regains touch before another
    /// node was elected, the task is started again, with a new token of the same term. In all cases
    /// the task of the last token is gone before the next is started; what it has spawned is its
    /// own concern.
    ///
    /// The [`Node`] given to it does not keep the node running. The task must not wait for the node
    /// to stop: the node, when it stops, waits for the task.
    ///
    /// ```no_run
    /// # use braft::raft_service;
    /// # use serde::{Deserialize, Serialize};
    /// # #[raft_service]
    /// # #[derive(Default, Serialize, Deserialize)]
    /// # pub struct Counter { value: u64 }
    /// # #[raft_service]
    /// # impl Counter {
    /// #     pub fn add(&mut self, by: u64) -> u64 { self.value += by; self.value }
    /// # }
    /// let config = braft::Config::new().service::<Counter>().leader_task(|node, token| async move {
    ///     let counter = node.client::<Counter>();
    ///     while token.is_valid() {
    ///         // Refused, if another node leads by the time it arrives.
    ///         if let Err(error) = counter.add(1).fenced(&token).await {
    ///             eprintln!("not added: {error}");
    ///         }
    ///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    ///     }
    /// });
    /// ```
    pub fn leader_task<F>(
        mut self,
        task: impl Fn(Node, LeaderToken) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.leading
            .tasks
            .push(Arc::new(move |node, token| Box::pin(task(node, token))));
        self
    }

    /// Runs something on the leader at once and then every `period`, under the rules of
    /// [`leader_task`](Self::leader_task).
    ///
    /// A run never overlaps the one before; if one takes longer than the period, the next follows
    /// it, and those missed are not made up for. No run begins once the token is over.
    pub fn leader_ticker<F>(
        mut self,
        period: Duration,
        tick: impl Fn(Node, LeaderToken) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if period.is_zero() {
            let text = "the period of a leader ticker must be above 0";
            self.mistakes.push(text.to_owned());
        }
        let tick = Arc::new(tick);
        self.leader_task(move |node, token| {
            let tick = Arc::clone(&tick);
            async move {
                let mut ticks = tokio::time::interval(period);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        () = token.cancelled() => return,
                        _ = ticks.tick() => {}
                    }
                    if token.is_valid() {
                        tick(node.clone(), token.clone()).await;
                    }
                }
            }
        })
    }

    /// Is told who leads, as this node learns of it.
    ///
    /// Called in order, on a thread where it may block; the next call waits for the last one. While
    /// it blocks, leaders that come and go are passed over: what it is told next is the newest. Not
    /// a right to lead: the leader may have changed by the time it is called. For what only the
    /// leader may do there is [`leader_task`](Self::leader_task).
    pub fn on_leader_change(
        mut self,
        callback: impl Fn(LeaderChange) + Send + Sync + 'static,
    ) -> Self {
        self.leading.on_change.push(Arc::new(callback));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticker_without_a_period_is_refused_at_the_start() {
        let config = Config::new().leader_ticker(Duration::ZERO, |_, _| std::future::ready(()));
        let error = config
            .resolve()
            .err()
            .expect("there is nothing to wait for");
        let text = "the period of a leader ticker must be above 0";
        assert!(error.to_string().contains(text), "{error}");
    }
}
