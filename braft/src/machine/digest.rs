//! Hashes of the state, to compare replicas with.

use std::io::Write;

use serde::Serialize;

use super::refused::caught;
use super::{Digests, Replica};
use crate::codec;
use crate::collections::digest;
use crate::error::Error;
use crate::service::AnyService;
use crate::siphash::Chain;

/// The names of braft's own parts of a state: no service can bear them.
pub(crate) const SESSIONS: &str = "(sessions)";
pub(crate) const KEYS: &str = "(keys)";
pub(crate) const TIMERS: &str = "(timers)";
pub(crate) const EVENTS: &str = "(events)";
/// Stands between the name of a part and the fingerprint of its encoding.
const SEPARATOR: char = '#';

/// The hash of something that is written; `None` if it cannot be.
fn hash(write: impl FnOnce(&mut dyn Write) -> Result<(), Error>) -> Option<u64> {
    let mut hasher = Chain::default();
    // Collections give the digest that they keep: the cost is that of what has changed.
    let written = caught(|| digest::instead_of_content(|| write(&mut hasher)));
    matches!(written, Ok(Ok(()))).then(|| hasher.finish()[0])
}

/// The hash of a value.
pub(crate) fn encoded(value: &impl Serialize) -> Option<u64> {
    hash(|out| codec::encode_into(value, out).map_err(|error| Error::fatal(error.to_string())))
}

/// Under what name the digest of a service's state is compared.
///
/// A digest is one of an encoded state. Binaries that encode it differently, because a field was
/// added, say, have different digests of equal states: they must not be compared. So the name bears
/// a fingerprint of the encoding: that of the empty state.
fn part_of(name: &str, empty: &dyn AnyService) -> String {
    let fingerprint = hash(|out| empty.save(out)).unwrap_or(0);
    format!("{name}{SEPARATOR}{fingerprint:016x}")
}

/// The name of a part without the fingerprint of its encoding.
pub(crate) fn part_name(part: &str) -> &str {
    part.rsplit_once(SEPARATOR).map_or(part, |(name, _)| name)
}

impl Replica {
    /// The digest of each part of the state: equal on all replicas at one log id. A part that cannot
    /// be encoded is left out.
    pub(super) fn digests(&self) -> Digests {
        let own = [
            (SESSIONS, encoded(&self.sessions)),
            (KEYS, encoded(&self.keys)),
            (TIMERS, encoded(&self.timers)),
            (EVENTS, encoded(&self.events)),
        ];
        // The encoding of these is braft's own. A part that only one side knows is not compared.
        let own = own.map(|(name, digest)| {
            let part = format!("{name}{SEPARATOR}{}", env!("CARGO_PKG_VERSION"));
            (part, digest)
        });
        let services = self.services.iter().map(|(name, service)| {
            let empty = self.prototypes[name].at_version(service.active());
            (part_of(name, &*empty), hash(|out| service.save(out)))
        });
        let parts = services.chain(own);
        parts
            .filter_map(|(name, digest)| Some((name, digest?)))
            .collect()
    }
}

#[cfg(feature = "testing")]
impl super::Machine {
    /// The last applied log id, and a hash of the state there: equal on all replicas.
    pub(crate) fn digest(&self) -> Result<(Option<(u64, u64)>, u64), Error> {
        let replica = self.read();
        let all = (
            replica.digests(),
            replica.clock,
            &replica.versions,
            &replica.settings,
            &replica.removed,
            &replica.panics,
            &replica.comparison,
        );
        let digest = encoded(&all).ok_or_else(|| Error::fatal("the state cannot be encoded"))?;
        Ok((replica.applied, digest))
    }

    /// The index of the last applied entry, and the state of a service there, as a snapshot has it.
    pub(crate) fn saved(&self, service: &str) -> Result<(u64, Vec<u8>), Error> {
        let replica = self.read();
        let mut state = Vec::new();
        super::find(&replica.services, service)?.save(&mut state)?;
        Ok((replica.applied.unwrap_or_default().1, state))
    }
}
