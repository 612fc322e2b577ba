//! The replica in a snapshot file, and back.

use std::io::{Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::events::Histories;
use super::rebuild::drop_quietly;
use super::timers::Timers;
use super::{Comparison, Machine, Panics, RemovedNodes, Replica, Versions, too_old};
use crate::codec;
use crate::error::Error;
use crate::keys::Keys;
use crate::member::StoredMembers;
use crate::planted::{self, Bug};
use crate::service::AnyService;
use crate::session::Sessions;
use crate::settings::Settings;

/// The section of the session table. Service sections bear the service's name behind a prefix, so
/// that no service can take its place.
pub(crate) const SESSIONS_SECTION: &str = "sessions";
/// The section of the wakes; left out while there are none.
const TIMERS: &str = "timers";
/// The section of the events; left out while there are none.
const EVENTS: &str = "events";
/// The section of the idempotency keys; left out until there was one.
const KEYS: &str = "keys";
const SERVICE_PREFIX: &str = "service/";

/// What stands at the head of a snapshot file, as MessagePack.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    /// The cluster it belongs to, as 32 hexadecimal digits.
    pub(crate) cluster_id: String,
    /// The version of braft that wrote it.
    pub(crate) written_by: String,
    pub(crate) applied: Option<(u64, u64)>,
    pub(crate) members: StoredMembers,
    pub(crate) removed: RemovedNodes,
    pub(crate) clock: Duration,
    pub(crate) settings: Settings,
    pub(crate) seeded: bool,
    pub(crate) services: Vec<String>,
    #[serde(default)]
    pub(crate) panics: Panics,
    #[serde(default)]
    pub(crate) comparison: Comparison,
    /// Who wrote it.
    #[serde(default)]
    pub(crate) node_id: Option<u64>,
    /// Up to which log index its state had come from another node.
    #[serde(default)]
    pub(crate) foreign: u64,
    /// The active versions of the services: their sections are as these versions write them.
    #[serde(default)]
    pub(crate) versions: Versions,
}

/// A snapshot cannot be loaded; the replica is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadSnapshotError {
    #[error(
        "the snapshot holds service {0:?}, which this binary does not have; \
             start a binary that has it"
    )]
    UnknownService(String),
    #[error("the snapshot cannot be loaded: {0}")]
    TooOld(String),
    #[error("the snapshot has an unknown section {0:?}; start the binary that wrote it")]
    UnknownSection(String),
    #[error("the snapshot lacks section {0:?}")]
    MissingSection(String),
    #[error("section {section:?} of the snapshot: {source}")]
    Section { section: String, source: Error },
}

/// Takes the sections of a snapshot.
pub(crate) trait SectionSink {
    /// Starts a section and lets `fill` write it.
    fn section(
        &mut self,
        name: &str,
        fill: &mut dyn FnMut(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error>;
}

impl Replica {
    /// The header of a snapshot of this state.
    pub(crate) fn snapshot_header(&self, cluster_id: u128, node_id: u64) -> SnapshotHeader {
        SnapshotHeader {
            cluster_id: format!("{cluster_id:032x}"),
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            applied: self.applied,
            members: self.members.clone(),
            removed: self.removed.clone(),
            clock: self.clock,
            settings: self.settings.clone(),
            seeded: self.seeded,
            services: self
                .services
                .keys()
                .map(|name| (*name).to_owned())
                .collect(),
            panics: self.panics.clone(),
            comparison: self.comparison.clone(),
            node_id: Some(node_id),
            foreign: self.foreign,
            versions: self.versions.clone(),
        }
    }

    /// Freezes what can be frozen cheaply.
    pub(crate) fn freeze(&self) -> Frozen {
        let services = self.services.iter();
        Frozen {
            sessions: if planted::is(Bug::SnapshotWithoutSessions) {
                Sessions::default()
            } else {
                self.sessions.clone()
            },
            timers: self.timers.clone(),
            events: self.events.clone(),
            keys: self.keys.clone(),
            services: services
                .map(|(name, service)| (*name, service.freeze()))
                .collect(),
        }
    }

    /// Writes the sections that were not frozen. What is frozen must be of this very state.
    pub(crate) fn save_rest(
        &self,
        frozen: &Frozen,
        sink: &mut dyn SectionSink,
    ) -> Result<(), Error> {
        for (name, copy) in &frozen.services {
            if copy.is_none() {
                save_service(name, &*self.services[name], sink)?;
            }
        }
        Ok(())
    }
}

/// What was frozen of a replica: stays as it is while the replica goes on.
pub(crate) struct Frozen {
    sessions: Sessions,
    timers: Timers,
    events: Histories,
    keys: Keys,
    /// Each service with its copy, if that was cheap.
    services: Vec<(&'static str, Option<Box<dyn AnyService>>)>,
}

impl Frozen {
    /// Whether nothing is left for [`Replica::save_rest`].
    pub(crate) fn is_whole(&self) -> bool {
        self.services.iter().all(|(_, copy)| copy.is_some())
    }

    /// Writes the sections that were frozen.
    pub(crate) fn save(&self, sink: &mut dyn SectionSink) -> Result<(), Error> {
        sink.section(SESSIONS_SECTION, &mut |out| {
            codec::encode_into(&self.sessions, out)
                .map_err(|error| Error::fatal(format!("cannot write the sessions: {error}")))
        })?;
        if !self.timers.is_empty() {
            sink.section(TIMERS, &mut |out| {
                codec::encode_into(&self.timers, out)
                    .map_err(|error| Error::fatal(format!("cannot write the timers: {error}")))
            })?;
        }
        if !self.events.is_empty() {
            sink.section(EVENTS, &mut |out| {
                codec::encode_into(&self.events, out)
                    .map_err(|error| Error::fatal(format!("cannot write the events: {error}")))
            })?;
        }
        if !self.keys.is_empty() {
            sink.section(KEYS, &mut |out| {
                codec::encode_into(&self.keys, out)
                    .map_err(|error| Error::fatal(format!("cannot write the keys: {error}")))
            })?;
        }
        for (name, copy) in &self.services {
            if let Some(copy) = copy {
                save_service(name, &**copy, sink)?;
            }
        }
        Ok(())
    }
}

fn save_service(
    name: &str,
    service: &dyn AnyService,
    sink: &mut dyn SectionSink,
) -> Result<(), Error> {
    sink.section(&format!("{SERVICE_PREFIX}{name}"), &mut |out| {
        service.save(out)
    })
}

/// A replica that is read in beside the one in use.
pub(crate) struct Loading {
    header: SnapshotHeader,
    replica: Replica,
    missing: Vec<String>,
}

impl Machine {
    /// Whether no service holds up apply while a snapshot is written.
    pub(crate) fn freezes_cheaply(&self) -> bool {
        self.prototypes
            .values()
            .all(|service| service.freeze().is_some())
    }

    /// Begins to read a snapshot; the replica in use stays as it is until it is
    /// [replaced](Self::replace).
    pub(crate) fn load(&self, header: SnapshotHeader) -> Result<Loading, ReadSnapshotError> {
        let active = &header.versions;
        if let Some((service, active, known)) = active.missing_in(&self.known_versions()) {
            return Err(ReadSnapshotError::TooOld(too_old(service, active, known)));
        }
        let replica = self.empty_replica_at(header.versions.clone());
        let unknown = header
            .services
            .iter()
            .find(|name| !replica.services.contains_key(name.as_str()));
        if let Some(name) = unknown {
            return Err(ReadSnapshotError::UnknownService(name.clone()));
        }
        let mut missing: Vec<_> = header
            .services
            .iter()
            .map(|name| format!("{SERVICE_PREFIX}{name}"))
            .collect();
        missing.push(SESSIONS_SECTION.to_owned());
        Ok(Loading {
            header,
            replica,
            missing,
        })
    }

    /// Puts a loaded replica in the place of the one in use.
    pub(crate) fn replace(&self, replica: Replica) {
        self.note_panics(&replica);
        self.digests.send_replace(None);
        self.renew_door(&replica);
        let before = std::mem::replace(&mut *self.write(), replica);
        drop_quietly(before);
        self.verdicts.send_modify(|count| *count += 1);
    }
}

impl Loading {
    pub(crate) fn section(
        &mut self,
        name: &str,
        from: &mut dyn Read,
    ) -> Result<(), ReadSnapshotError> {
        let failed = |source| ReadSnapshotError::Section {
            section: name.to_owned(),
            source,
        };
        if name == SESSIONS_SECTION {
            self.replica.sessions = codec::decode_from::<Sessions>(from)
                .map_err(|error| failed(Error::fatal(error.to_string())))?;
        } else if name == EVENTS {
            self.replica.events = codec::decode_from::<Histories>(from)
                .map_err(|error| failed(Error::fatal(error.to_string())))?;
        } else if name == KEYS {
            self.replica.keys = codec::decode_from::<Keys>(from)
                .map_err(|error| failed(Error::fatal(error.to_string())))?;
        } else if name == TIMERS {
            self.replica.timers = codec::decode_from::<Timers>(from)
                .map_err(|error| failed(Error::fatal(error.to_string())))?;
        } else {
            let service = name
                .strip_prefix(SERVICE_PREFIX)
                .and_then(|service| self.replica.services.get_mut(service))
                .ok_or_else(|| ReadSnapshotError::UnknownSection(name.to_owned()))?;
            service.load(from).map_err(failed)?;
        }
        self.missing.retain(|missing| missing != name);
        Ok(())
    }

    /// The replica of a node, as loaded, if nothing of it is missing.
    pub(crate) fn finish(mut self, node_id: u64) -> Result<Replica, ReadSnapshotError> {
        if let Some(missing) = self.missing.pop() {
            return Err(ReadSnapshotError::MissingSection(missing));
        }
        let header = self.header;
        self.replica.applied = header.applied;
        self.replica.members = header.members;
        self.replica.removed = header.removed;
        self.replica.clock = header.clock;
        self.replica.settings = header.settings;
        self.replica.seeded = header.seeded;
        self.replica.panics = header.panics;
        self.replica.comparison = header.comparison;
        let is_own = header.node_id.is_none_or(|writer| writer == node_id);
        self.replica.foreign = if is_own {
            header.foreign
        } else {
            header.applied.map_or(0, |(_, index)| index)
        };
        Ok(self.replica)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::super::Watch;
    use super::*;
    use crate::entry::{EntryWriter, Item};
    use crate::machine::rebuild::NoPast;
    use crate::member::{Members, NodeInfo};

    const ME: u64 = 3;

    /// A replica that knows of a comparison in which this node differs from the other two.
    fn diverged() -> Machine {
        let machine = Machine::new(Vec::new(), Watch::default()).unwrap();
        machine.apply_members(
            (1, 0),
            Members {
                configs: vec![[1, 2, ME].into()],
                nodes: [1, 2, ME].map(|id| (id, NodeInfo::default())).into(),
            },
        );
        let mut entry = EntryWriter::new(Duration::ZERO, 1);
        entry.push(&Item::DigestMark);
        for node_id in [1, 2, ME] {
            entry.push(&Item::DigestReport {
                node_id,
                mark: 20,
                digests: vec![(Bytes::from_static(b"Counter"), node_id / 3)],
            });
        }
        machine
            .apply_batch((1, 20), entry.finish(), &NoPast)
            .unwrap();
        machine
    }

    /// The replica of this node in a snapshot.
    fn load(header: &SnapshotHeader) -> Replica {
        let bytes = codec::encode(header).unwrap();
        let machine = Machine::new(Vec::new(), Watch::default()).unwrap();
        let mut loading = machine.load(codec::decode(&bytes).unwrap()).unwrap();
        let sessions = codec::encode(&Sessions::default()).unwrap();
        loading
            .section(SESSIONS_SECTION, &mut &sessions[..])
            .unwrap();
        loading.finish(ME).unwrap()
    }

    #[test]
    fn a_replica_has_diverged_until_its_state_comes_from_another_node() {
        let machine = diverged();
        let replica = machine.read();
        assert_eq!(replica.divergence(ME).map(|how| how.to), Some(20));
        assert!(replica.divergence(1).is_none());
        // Its own snapshot is no better, after a restart neither.
        let own = load(&replica.snapshot_header(7, ME));
        assert!(own.divergence(ME).is_some());
        let healed = load(&replica.snapshot_header(7, 1));
        assert!(healed.divergence(ME).is_none());
        let own = load(&healed.snapshot_header(7, ME));
        assert!(own.divergence(ME).is_none());
    }

    #[test]
    fn a_header_of_before_panics_and_comparisons_is_read() {
        #[derive(Serialize)]
        struct Before {
            cluster_id: String,
            written_by: String,
            applied: Option<(u64, u64)>,
            members: StoredMembers,
            removed: RemovedNodes,
            clock: Duration,
            settings: BTreeMap<&'static str, u64>,
            seeded: bool,
            services: Vec<String>,
        }
        let settings = [
            "max_sessions",
            "session_expiry_ms",
            "kept_answer_bytes",
            "max_voters",
            "min_voters",
            "dead_after_ms",
        ];
        let before = Before {
            cluster_id: String::new(),
            written_by: "0.1.0".to_owned(),
            applied: Some((1, 9)),
            members: StoredMembers::default(),
            removed: RemovedNodes::default(),
            clock: Duration::ZERO,
            settings: settings.map(|name| (name, 5)).into(),
            seeded: true,
            services: Vec::new(),
        };
        let bytes = codec::encode(&before).unwrap();
        let header: SnapshotHeader = codec::decode(&bytes).unwrap();
        assert_eq!(header.settings.on_panic, crate::OnPanic::Isolate);
        assert_eq!((header.node_id, header.foreign), (None, 0));
        assert_eq!(header.panics, Panics::default());
        assert_eq!(header.comparison, Comparison::default());
    }
}
