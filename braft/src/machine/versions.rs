//! Which version of each service is active: replicated state, moved by a log entry of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::apply::HaltError;
use super::refused::caught;
use super::{Machine, Replica, Services};
use crate::codec;
use crate::error::Error;
use crate::request::Refusal;
use crate::service::AnyService;

/// What stands beside the services for braft's own log entries and snapshots.
pub(crate) const BRAFT: &str = "braft";
/// The version of these that this build knows. An item or a header that older builds cannot read
/// is written only while a later version is active.
///
/// 2: settings can be changed, and commands may have an idempotency key.
pub(crate) const BRAFT_VERSION: u32 = 2;
/// The version from which on settings can be changed.
pub(crate) const SETTINGS_CHANGE: u32 = 2;
/// The one since which commands may have an idempotency key.
const KEYS_SINCE: u32 = 2;

/// The active versions. None at all in a cluster that has not agreed on any yet: then the first
/// version of every service counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Versions(pub(crate) BTreeMap<String, u32>);

impl Versions {
    /// Whether the cluster has agreed on any.
    pub(crate) fn are_agreed(&self) -> bool {
        !self.0.is_empty()
    }

    /// The active version of a service; 0 if some nodes may not have the service at all.
    pub(crate) fn of(&self, service: &str) -> u32 {
        let unknown = u32::from(!self.are_agreed());
        self.0.get(service).copied().unwrap_or(unknown)
    }

    /// What a binary with these versions lacks for the active ones: a service, its active version,
    /// and the version that the binary has.
    pub(crate) fn missing_in(&self, binary: &Versions) -> Option<(&str, u32, u32)> {
        let mut active = self.0.iter();
        active.find_map(|(service, active)| {
            let known = binary.0.get(service).copied().unwrap_or(0);
            (known < *active).then_some((service.as_str(), *active, known))
        })
    }
}

/// What to do about a binary that is below an active version.
pub(crate) fn too_old(service: &str, active: u32, known: u32) -> String {
    let has = match known {
        0 => "does not have it".to_owned(),
        known => format!("knows up to version {known}"),
    };
    format!(
        "service {service} is at version {active} in this cluster, and this binary {has}; start a \
         binary with version {active} of it or a later one"
    )
}

/// An empty instance of each service, of the version that is active.
pub(super) fn instances(prototypes: &Services, versions: &Versions) -> Services {
    let services = prototypes
        .iter()
        .map(|(name, latest)| (*name, latest.at_version(versions.of(name).max(1))));
    services.collect()
}

/// The services as they are now, empty: what checks commands without waiting for the replica.
pub(super) struct Door {
    versions: Versions,
    services: BTreeMap<&'static str, Box<dyn AnyService>>,
}

impl Door {
    pub(super) fn new(prototypes: &Services, versions: &Versions) -> Self {
        Door {
            versions: versions.clone(),
            services: instances(prototypes, versions),
        }
    }

    fn check(
        &self,
        latest: &Services,
        (service, command): (&str, &[u8]),
        knows_the_past: &dyn Fn() -> bool,
    ) -> Result<(), Refusal> {
        // A leader that has not carried out what was committed before its term may lack an activation:
        // with none at all it would let everything in, and with few it would refuse for good.
        let past_counts = || {
            let about_to_lead = "this node is about to lead and is catching up";
            knows_the_past()
                .then_some(())
                .ok_or_else(|| Refusal::not_here(about_to_lead, None))
        };
        if !self.versions.are_agreed() {
            past_counts()?;
        }
        let refused = self.known(latest, service, command);
        if refused.is_err() {
            past_counts()?;
        }
        refused
    }

    fn known(&self, latest: &Services, service: &str, command: &[u8]) -> Result<(), Refusal> {
        let now = super::find(&self.services, service)?;
        if self.versions.of(service) == 0 {
            return Err(Error::rejected(format!(
                "service {service} is not yet active: not all nodes have a binary with it"
            ))
            .into());
        }
        let Err(error) = now.check_command(command) else {
            return Ok(());
        };
        let latest = super::find(latest, service)?;
        let belongs_later =
            latest.version() > now.active() && latest.check_command(command).is_ok();
        if !belongs_later {
            return Err(error.into());
        }
        if !self.versions.are_agreed() {
            let text = format!("the version of service {service} is about to be agreed on");
            return Err(Refusal::not_here(text, None));
        }
        Err(Error::rejected(format!(
            "this call of service {service} belongs to a later version than {}, which is active; \
             version {} becomes active when all nodes have a binary with it: not yet active",
            now.active(),
            latest.version()
        ))
        .into())
    }
}

impl Machine {
    /// Whether the bytes are a command of a service of this build that the active version knows.
    ///
    /// `knows_the_past` says whether this replica has carried out all that was committed before it
    /// began to lead.
    pub(crate) fn check_command(
        &self,
        service: &str,
        command: &[u8],
        knows_the_past: impl Fn() -> bool,
    ) -> Result<(), Refusal> {
        let door = self.door.read().unwrap_or_else(|door| door.into_inner());
        let check = || door.check(&self.prototypes, (service, command), &knows_the_past);
        caught(check).unwrap_or_else(|panic| {
            Err(Error::rejected(format!(
                "a command of service {service} panicked when it was decoded: {panic}; nothing was \
                 changed"
            ))
            .into())
        })
    }

    /// The versions that this binary knows.
    pub(crate) fn known_versions(&self) -> Versions {
        let services = self.prototypes.iter();
        let services = services.map(|(name, service)| ((*name).to_owned(), service.version()));
        Versions(
            services
                .chain([(BRAFT.to_owned(), BRAFT_VERSION)])
                .collect(),
        )
    }

    /// The active versions, as far as this replica has applied the log.
    pub(crate) fn active_versions(&self) -> Versions {
        let door = self.door.read().unwrap_or_else(|door| door.into_inner());
        door.versions.clone()
    }

    /// Whether all nodes know of idempotency keys.
    pub(crate) fn knows_keys(&self) -> bool {
        let door = self.door.read().unwrap_or_else(|door| door.into_inner());
        door.versions.of(BRAFT) >= KEYS_SINCE
    }

    /// Lets in what the active versions know.
    pub(super) fn renew_door(&self, replica: &Replica) {
        let door = Door::new(&self.prototypes, &replica.versions);
        *self.door.write().unwrap_or_else(|door| door.into_inner()) = door;
    }
}

impl Replica {
    /// The version of a service that carries out commands.
    pub(super) fn active(&self, service: &str) -> u32 {
        self.services
            .get(service)
            .map_or(0, |service| service.active())
    }

    /// Carries out an activation: later versions only, each by its migration.
    pub(super) fn activate(&mut self, index: u64, versions: &Bytes) -> Result<(), HaltError> {
        let failed = |reason: String| HaltError::Activation { index, reason };
        let wanted: Versions =
            codec::decode(versions).map_err(|error| failed(error.to_string()))?;
        for (service, version) in wanted.0 {
            if self
                .versions
                .0
                .get(&service)
                .is_some_and(|now| *now >= version)
            {
                continue;
            }
            if service == BRAFT {
                if version > BRAFT_VERSION {
                    return Err(failed(too_old(BRAFT, version, BRAFT_VERSION)));
                }
            } else {
                self.upgrade(&service, version).map_err(failed)?;
            }
            tracing::info!(service, version, "a version is active");
            self.versions.0.insert(service, version);
            self.activated = true;
        }
        Ok(())
    }

    fn upgrade(&mut self, service: &str, version: u32) -> Result<(), String> {
        let prototypes = Arc::clone(&self.prototypes);
        let Some((name, latest)) = prototypes.get_key_value(service) else {
            return Err(too_old(service, version, 0));
        };
        if latest.version() < version {
            return Err(too_old(service, version, latest.version()));
        }
        let old = self
            .services
            .remove(name)
            .expect("each prototype has its service");
        let new = caught(|| latest.upgrade(old, version))
            .map_err(|panic| {
                format!(
                    "the migration of service {service} to version {version} panicked: {panic}; \
                     fix it and start the new binary"
                )
            })?
            .map_err(|error| error.to_string())?;
        self.services.insert(*name, new);
        Ok(())
    }
}

#[cfg(all(test, feature = "macros"))]
mod tests {
    use std::time::Duration;

    use super::super::Watch;
    use super::super::rebuild::NoPast;
    use super::*;
    use crate::entry::{EntryWriter, Item};
    use crate::error::{ErrorKind, Outcome};
    use crate::service::{Service, ServiceFactory, factory};

    mod v1 {
        use serde::{Deserialize, Serialize};

        use crate::raft_service;

        #[raft_service(crate = crate)]
        #[derive(Debug, Default, Serialize, Deserialize)]
        pub(super) struct Sum {
            sum: u64,
        }

        #[raft_service(crate = crate)]
        impl Sum {
            pub(super) fn add(&mut self, by: u64) -> u64 {
                self.sum += by;
                self.sum
            }

            pub(super) fn reset(&mut self) {
                self.sum = 0;
            }

            pub(super) fn get(&self) -> u64 {
                self.sum
            }
        }
    }

    mod v2 {
        use serde::{Deserialize, Serialize};

        use crate::raft_service;

        #[raft_service(version = 2, migrate = halves, crate = crate)]
        #[derive(Debug, Default, Serialize, Deserialize)]
        pub(super) struct Sum {
            high: u32,
            low: u32,
        }

        fn halves(old: super::v1::Sum) -> Sum {
            let sum = old.get();
            assert_ne!(sum, 13, "unlucky");
            Sum {
                high: (sum >> 32) as u32,
                low: sum as u32,
            }
        }

        #[raft_service(crate = crate)]
        impl Sum {
            pub(super) fn add(&mut self, by: u64) -> u64 {
                let sum = (u64::from(self.high) << 32 | u64::from(self.low)) + by;
                self.high = (sum >> 32) as u32;
                self.low = sum as u32;
                sum
            }

            #[command(removed = 2)]
            pub(super) fn reset(&mut self) {
                *self = Sum::default();
            }

            #[command(since = 2)]
            pub(super) fn double(&mut self) -> u64 {
                let sum = u64::from(self.high) << 32 | u64::from(self.low);
                self.add(sum)
            }
        }
    }

    fn machine(factory: ServiceFactory) -> Machine {
        Machine::new(vec![factory], Watch::default()).expect("one service")
    }

    fn apply(machine: &Machine, index: u64, item: &Item) -> Result<Result<Bytes, Refusal>, String> {
        let mut entry = EntryWriter::new(Duration::ZERO, 1);
        entry.push(item);
        let answers = machine.apply_batch((1, index), entry.finish(), &NoPast);
        answers
            .map(|answers| answers.expect("it goes on").remove(0))
            .map_err(|halt| halt.to_string())
    }

    fn activation(version: u32) -> Item {
        let versions = Versions([("Sum".to_owned(), version)].into());
        let versions = codec::encode(&versions).expect("data").into();
        Item::ActivateVersions { versions }
    }

    fn command(sequence: u64, command: &impl serde::Serialize) -> Item {
        Item::Command {
            session: 1 << 16,
            sequence,
            responded_to: 0,
            fence: None,
            key: None,
            service: Bytes::from_static(b"Sum"),
            payload: codec::encode(command).expect("data").into(),
        }
    }

    type Old = <v1::Sum as Service>::Command;
    type New = <v2::Sum as Service>::Command;

    /// The new binary with a session, and with the old service active.
    fn upgraded() -> Machine {
        let machine = machine(factory::<v2::Sum>());
        apply(&machine, 1, &Item::OpenSession).unwrap().unwrap();
        apply(&machine, 2, &activation(1)).unwrap().unwrap();
        machine
    }

    fn sum(answer: Result<Bytes, Refusal>) -> u64 {
        codec::decode(&answer.expect("an answer")).expect("a number")
    }

    #[test]
    fn the_state_is_migrated_where_the_log_says_and_the_door_follows() {
        let machine = upgraded();
        let double = codec::encode(&New::double {}).unwrap();
        let refused = machine.check_command("Sum", &double, || true).unwrap_err();
        assert!(refused.message.contains("not yet active") && !refused.retry);
        let add = command(1, &Old::add { by: 21 });
        assert_eq!(sum(apply(&machine, 3, &add).unwrap()), 21);
        apply(&machine, 4, &activation(2)).unwrap().unwrap();
        machine
            .check_command("Sum", &double, || true)
            .expect("active");
        assert_eq!(
            sum(apply(&machine, 5, &command(2, &New::double {})).unwrap()),
            42
        );
        // Versions do not go back, and what was answered stays answered.
        apply(&machine, 6, &activation(1)).unwrap().unwrap();
        assert_eq!(machine.active_versions().of("Sum"), 2);
        assert_eq!(sum(apply(&machine, 7, &add).unwrap()), 21);
    }

    #[test]
    fn before_anything_is_agreed_on_a_newer_call_is_to_be_tried_again() {
        let machine = machine(factory::<v2::Sum>());
        let double = codec::encode(&New::double {}).unwrap();
        assert!(
            machine
                .check_command("Sum", &double, || true)
                .unwrap_err()
                .retry
        );
        let add = codec::encode(&New::add { by: 1 }).unwrap();
        machine
            .check_command("Sum", &add, || true)
            .expect("of the first version");
    }

    #[test]
    fn a_leader_that_is_catching_up_lets_nothing_in_before_it_knows_what_is_active() {
        let machine = machine(factory::<v2::Sum>());
        let add = codec::encode(&New::add { by: 1 }).unwrap();
        let refused = machine.check_command("Sum", &add, || false).unwrap_err();
        assert!(refused.retry && refused.message.contains("about to lead"));
        let machine = upgraded();
        machine
            .check_command("Sum", &add, || false)
            .expect("in all versions");
        let double = codec::encode(&New::double {}).unwrap();
        assert!(
            machine
                .check_command("Sum", &double, || false)
                .unwrap_err()
                .retry
        );
    }

    #[test]
    fn a_service_that_not_all_nodes_have_is_refused() {
        let machine = machine(factory::<v2::Sum>());
        let versions = Versions([(BRAFT.to_owned(), 1)].into());
        let versions = codec::encode(&versions).expect("data").into();
        apply(&machine, 1, &Item::ActivateVersions { versions })
            .unwrap()
            .unwrap();
        let add = codec::encode(&New::add { by: 1 }).unwrap();
        let refused = machine.check_command("Sum", &add, || true).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Rejected);
        assert!(
            refused
                .message
                .contains("not all nodes have a binary with it")
        );
        apply(&machine, 2, &activation(1)).unwrap().unwrap();
        machine
            .check_command("Sum", &add, || true)
            .expect("now all have it");
    }

    #[test]
    fn a_command_that_the_activation_overtook_is_refused_by_all_and_halts_nobody() {
        let machine = upgraded();
        apply(&machine, 3, &activation(2)).unwrap().unwrap();
        let reset = command(1, &Old::reset {});
        for index in [4, 5] {
            let refusal = apply(&machine, index, &reset)
                .expect("no halt")
                .unwrap_err();
            assert_eq!(refusal.kind, ErrorKind::Rejected);
            assert_eq!(refusal.outcome, Outcome::NotApplied);
        }
    }

    #[test]
    fn a_binary_below_the_active_version_halts_and_says_which_it_needs() {
        let old = machine(factory::<v1::Sum>());
        let halt = apply(&old, 1, &activation(2)).unwrap_err();
        assert!(halt.contains("log entry 1"), "{halt}");
        assert!(
            halt.contains("start a binary with version 2 of it"),
            "{halt}"
        );

        let new = upgraded();
        apply(&new, 3, &activation(2)).unwrap().unwrap();
        let header = new.read().snapshot_header(1, 1);
        let refused = old.load(header).err().expect("too old").to_string();
        assert!(refused.contains("service Sum is at version 2"), "{refused}");
    }

    #[test]
    fn a_migration_that_panics_halts_the_replica() {
        let machine = upgraded();
        let unlucky = command(1, &Old::add { by: 13 });
        apply(&machine, 3, &unlucky).unwrap().unwrap();
        let halt = apply(&machine, 4, &activation(2)).unwrap_err();
        assert!(
            halt.contains("the migration of service Sum to version 2 panicked"),
            "{halt}"
        );
    }
}
