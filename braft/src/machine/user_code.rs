//! Running commands and timers of services, and what comes of it.

use super::Replica;
use super::apply::{HaltError, Panic, Stop};
use super::refused::caught;
use super::step::Step;
use crate::context::LogPosition;
use crate::effects::Effects;
use crate::error::Error;
use crate::service::AnyService;
use crate::session::Place;

impl Replica {
    /// Whether a step is known to panic while the state is made anew.
    pub(super) fn leaves_out(&self, place: Place) -> bool {
        let left_out = self.replay.as_ref();
        left_out.is_some_and(|left_out| left_out.contains(&place))
    }

    /// Runs a command or a timer of a service. An error of its own means that this build does not
    /// know what it was asked.
    pub(super) fn run_user_code<T>(
        &mut self,
        (step, position): (Step, LogPosition),
        name: &str,
        run: impl FnOnce(&mut dyn AnyService) -> Result<T, Error>,
        called: impl FnOnce() -> (&'static str, String),
    ) -> Result<T, Stop> {
        let index = position.index;
        let Some(service) = self.services.get_mut(name) else {
            let reason = format!("this binary has no service {name:?}");
            return Err(HaltError::UnknownCommand { index, reason }.into());
        };
        let ran = caught(|| run(&mut **service)).map_err(|message| {
            let (what, method) = called();
            Stop::Panicked(Panic {
                what,
                step,
                position,
                service: name.to_owned(),
                method,
                message,
            })
        })?;
        ran.map_err(|error| {
            let reason = error.to_string();
            HaltError::UnknownCommand { index, reason }.into()
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
