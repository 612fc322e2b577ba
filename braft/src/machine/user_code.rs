//! Running commands and timers of services, and what comes of it.

use super::Replica;
use super::apply::{HaltError, caught};
use crate::effects::Effects;
use crate::error::Error;
use crate::service::AnyService;

impl Replica {
    /// Runs a command or a timer of a service. An error of its own means that this build does not
    /// know what it was asked.
    pub(super) fn run_user_code<T>(
        &mut self,
        what: &'static str,
        index: u64,
        name: &str,
        run: impl FnOnce(&mut dyn AnyService) -> Result<T, Error>,
    ) -> Result<T, HaltError> {
        let Some(service) = self.services.get_mut(name) else {
            let reason = format!("this binary has no service {name:?}");
            return Err(HaltError::UnknownCommand { index, reason });
        };
        caught(|| run(&mut **service))
            .map_err(|panic| HaltError::Panicked {
                index,
                what,
                service: name.to_owned(),
                panic,
            })?
            .map_err(|error| HaltError::UnknownCommand {
                index,
                reason: error.to_string(),
            })
    }

    /// Carries out what a command or a timer has asked of the cluster.
    pub(super) fn take_effects(&mut self, index: u64, service: &str, effects: Effects) {
        self.timers.add(service, effects.wakes);
        let (now, settings) = (self.clock, &self.settings);
        self.events
            .add(service, index, now, effects.events, settings);
    }
}
