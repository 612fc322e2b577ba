//! A hash of the whole state, to compare replicas with.

use std::io::Write;

use super::{Machine, SectionSink};
use crate::collections::digest;
use crate::error::Error;

/// A hash over all sections of a state.
#[derive(Default)]
struct Hasher(std::hash::DefaultHasher);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::hash::Hasher::write(&mut self.0, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl SectionSink for Hasher {
    fn section(
        &mut self,
        name: &str,
        fill: &mut dyn FnMut(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        std::hash::Hash::hash(name, &mut self.0);
        fill(self)
    }
}

impl Machine {
    /// The last applied log id, and a hash of the state there: equal on all replicas.
    pub(crate) fn digest(&self) -> Result<(Option<(u64, u64)>, u64), Error> {
        let replica = self.read();
        let mut hasher = Hasher::default();
        // Collections give the digest that they keep: the cost is that of what has changed.
        let frozen = replica.freeze();
        digest::instead_of_content(|| {
            replica.save_rest(&frozen, &mut hasher)?;
            frozen.save(&mut hasher)
        })?;
        std::hash::Hash::hash(
            &(replica.clock, &replica.settings, &replica.versions),
            &mut hasher.0,
        );
        crate::codec::encode_into(&replica.removed, &mut hasher)
            .map_err(|error| Error::fatal(format!("cannot hash the removed nodes: {error}")))?;
        Ok((replica.applied, std::hash::Hasher::finish(&hasher.0)))
    }
}
