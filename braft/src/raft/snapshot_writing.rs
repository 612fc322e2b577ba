//! The state written to a snapshot file.

use std::io;
use std::sync::PoisonError;

use tokio::time::Instant;

use super::state_machine::StateMachine;
use crate::codec;
use crate::error::Error;
use crate::machine::SectionSink;
use crate::storage::snapshot::{SnapshotFile, SnapshotWriter};
use crate::storage::wal;

impl StateMachine {
    /// Writes the state as it stands to a new snapshot file. Commands wait only while it is frozen,
    /// or written as far as it cannot be frozen cheaply.
    pub(super) fn write_snapshot(&self) -> io::Result<SnapshotFile> {
        let writing = self.shared.writing.lock();
        let _one_at_a_time = writing.unwrap_or_else(PoisonError::into_inner);
        self.check_open()?;
        let began = Instant::now();
        let replica = self.shared.machine.read();
        if replica.halted().is_some() || replica.divergence(self.shared.node_id).is_some() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let header = replica.snapshot_header(self.shared.cluster_id, self.shared.node_id);
        let frozen = replica.freeze();
        // Let go at once if nothing is left to be written from it.
        let replica = (!frozen.is_whole()).then_some(replica);

        let (term, index) = header.applied.unwrap_or_default();
        let meta = codec::encode(&header).map_err(io::Error::other)?;
        let last = wal::LogId { term, index };
        let mut writer = self.shared.snapshots.create(last, &meta).map_err(as_io)?;
        let mut sink = Sink {
            writer: &mut writer,
            machine: self,
            full: false,
        };
        let rest = replica.map_or(Ok(()), |replica| replica.save_rest(&frozen, &mut sink));
        let saved = rest.and_then(|()| frozen.save(&mut sink));
        if sink.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        saved.map_err(as_io)?;
        self.check_open()?;
        if self.out_of_service().is_some() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let file = writer.finish().map_err(as_io)?;
        self.shared.figures.snapshot.record(began.elapsed());
        Ok(file)
    }
}

/// An error as an I/O error, of the kind of the one nearest to its root.
fn as_io(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let mut kind = io::ErrorKind::Other;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(this) = cause {
        let mut io = this.downcast_ref::<io::Error>();
        while let Some(this) = io {
            if this.kind() != io::ErrorKind::Other {
                kind = this.kind();
            }
            // What an error of this type is made of is not its source.
            io = this.get_ref().and_then(|inner| inner.downcast_ref());
        }
        cause = this.source();
    }
    io::Error::new(kind, error)
}

struct Sink<'a> {
    writer: &'a mut SnapshotWriter,
    machine: &'a StateMachine,
    /// Whether the disk was full: serde's errors do not tell.
    full: bool,
}

/// Takes note of a full disk, and ends when the node does.
struct Noting<'a, W> {
    writer: W,
    machine: &'a StateMachine,
    full: &'a mut bool,
}

impl<W: io::Write> io::Write for Noting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.machine.check_open()?;
        let written = self.writer.write(bytes);
        if let Err(error) = &written {
            *self.full |= error.kind() == io::ErrorKind::StorageFull;
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl SectionSink for Sink<'_> {
    fn section(
        &mut self,
        name: &str,
        fill: &mut dyn FnMut(&mut dyn io::Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let section = self.writer.section(name).map_err(|error| {
            Error::fatal("cannot write the snapshot; free disk space or check the disk")
                .with_source(error)
        })?;
        fill(&mut Noting {
            writer: section,
            machine: self.machine,
            full: &mut self.full,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot be written: {0}")]
    struct Failed(#[source] io::Error);

    #[test]
    fn a_full_disk_is_known_as_one_however_it_is_told() {
        let told = io::Error::new(io::ErrorKind::StorageFull, "no space");
        let plain = io::Error::from(io::ErrorKind::StorageFull);
        for source in [told, plain] {
            assert_eq!(as_io(Failed(source)).kind(), io::ErrorKind::StorageFull);
        }
        let wrapped = io::Error::other(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(as_io(Failed(wrapped)).kind(), io::ErrorKind::StorageFull);
        let other = io::Error::other("broken");
        assert_eq!(as_io(Failed(other)).kind(), io::ErrorKind::Other);
    }
}
