//! Which version of each service is active: replicated state, moved by a log entry of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::apply::{HaltError, caught};
use super::{Machine, Replica, Services};
use crate::codec;
use crate::error::Error;
use crate::request::Refusal;
use crate::service::AnyService;

/// What stands beside the services for braft's own log entries and snapshots.
pub(crate) const BRAFT: &str = "braft";
/// The version of these that this build knows. An item or a header that older builds cannot read
/// is written only while a later version is active.
pub(crate) const BRAFT_VERSION: u32 = 1;

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

/// The services as they are now, empty: what checks commands without waiting for the replica.
pub(super) struct Door {
    versions: Versions,
    services: BTreeMap<&'static str, Box<dyn AnyService>>,
}

impl Door {
    pub(super) fn new(prototypes: &Services, versions: &Versions) -> Self {
        let services = prototypes
            .iter()
            .map(|(name, latest)| (*name, latest.at_version(versions.of(name).max(1))));
        Door {
            versions: versions.clone(),
            services: services.collect(),
        }
    }

    fn check(&self, latest: &Services, service: &str, command: &[u8]) -> Result<(), Refusal> {
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
    pub(crate) fn check_command(&self, service: &str, command: &[u8]) -> Result<(), Refusal> {
        let door = self.door.read().unwrap_or_else(|door| door.into_inner());
        door.check(&self.prototypes, service, command)
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

    /// Lets in what the active versions know.
    pub(super) fn renew_door(&self, replica: &Replica) {
        let door = Door::new(&self.prototypes, &replica.versions);
        *self.door.write().unwrap_or_else(|door| door.into_inner()) = door;
    }
}

impl Replica {
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
