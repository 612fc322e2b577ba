//! Brings the outcome of a proposal back without a channel or a task.

use openraft::raft::responder::Responder as RaftResponder;

use super::types::TypeConfig;

/// Calls a function with the outcome, on the task that has it.
// The function hands answers to their streams at once; a channel here would cost another wake-up
// for each batch.
pub(crate) struct Responder<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Responder<T> {
    pub(crate) fn new(complete: impl FnOnce(T) + Send + 'static) -> Self {
        Responder(Box::new(complete))
    }
}

impl<T: Send + 'static> RaftResponder<TypeConfig, T> for Responder<T> {
    fn on_complete(self, result: T) {
        (self.0)(result);
    }
}
