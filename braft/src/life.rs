//! Versions of a service: which calls belong to which, and how one state follows another.
//!
//! A version becomes active by a log entry, once every node's binary knows it. Until then, each
//! binary behaves like the oldest: it refuses what is newer, and its state is that of the active
//! version. Where the state has changed, that is the old service itself, which the new one names as
//! the source of its migration.

use std::any::Any;

use crate::service::{AnyService, Service, State, factory, into_state};

/// In which versions of its service a call is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The first one that knows it.
    pub(crate) since: u32,
    /// The first one that refuses it; 0 for none.
    pub(crate) removed: u32,
}

impl Life {
    /// Known from the first version on, for ever.
    pub const ALWAYS: Life = Life::new(1, 0);

    /// Known since one version, and not from another on; 0 for never.
    pub const fn new(since: u32, removed: u32) -> Self {
        Life { since, removed }
    }

    /// The same call with an argument that came later, if it is given.
    pub fn with(self, given: bool, since: u32) -> Self {
        let since = if given {
            self.since.max(since)
        } else {
            self.since
        };
        Life { since, ..self }
    }

    /// Why a call is refused while a version is active.
    pub(crate) fn refusal(self, service: &str, active: u32) -> Option<String> {
        if self.since > active {
            return Some(format!(
                "this call of service {service} belongs to version {}, which is not yet active: \
                 all nodes need a binary with it; the active version is {active}",
                self.since
            ));
        }
        (self.removed > 0 && self.removed <= active).then(|| {
            format!(
                "this call of service {service} was removed with version {}; use a client of that \
                 version",
                self.removed
            )
        })
    }
}

/// Refuses at compile time what comes with a version that the service has not reached.
///
/// # Panics
/// If it does.
#[track_caller]
pub const fn reached(version: u32, of_service: u32) {
    assert!(
        version <= of_service,
        "this version is later than that of the service: write `#[raft_service(version = …)]` on \
         the struct"
    );
}

/// Whether a field holds nothing that an older version would have to know.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

type Convert<N> = Box<dyn Fn(Box<dyn Any>) -> Option<N>>;

/// How the state of a service is made of that of its last version with another state.
pub struct Migration<N> {
    old: Box<dyn AnyService>,
    from: u32,
    convert: Convert<N>,
}

impl<N> std::fmt::Debug for Migration<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Migration")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl<N: State> Migration<N> {
    /// By a function of the old state alone: each replica carries it out.
    pub fn new<O: Service>(migrate: fn(O) -> N) -> Self {
        const {
            assert!(
                O::VERSION < N::VERSION,
                "a migration leads to a later version: write `#[raft_service(version = …)]`"
            );
        }
        Migration {
            old: factory::<O>()(),
            from: O::VERSION,
            convert: Box::new(move |old| into_state::<O>(old).map(migrate)),
        }
    }

    /// The last version with the old state.
    pub(crate) fn from(&self) -> u32 {
        self.from
    }

    /// The service with the old state.
    pub(crate) fn old(&self) -> &dyn AnyService {
        &*self.old
    }

    /// Makes the new state of the old one.
    pub(crate) fn convert(&self, old: Box<dyn AnyService>) -> Option<N> {
        (self.convert)(old.into_any())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_from_its_version_until_it_is_removed() {
        let life = Life::new(2, 4);
        let refused: Vec<_> = (1..=5)
            .map(|active| life.refusal("S", active).is_some())
            .collect();
        assert_eq!(refused, [true, false, false, true, true]);
        assert_eq!(Life::ALWAYS.refusal("S", 1), None);
        let with = Life::ALWAYS.with(true, 3);
        assert!(
            with.refusal("S", 2)
                .is_some_and(|text| text.contains("not yet active"))
        );
        assert_eq!(Life::ALWAYS.with(false, 3).refusal("S", 1), None);
    }
}
