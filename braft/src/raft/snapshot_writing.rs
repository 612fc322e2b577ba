//! The state written to a snapshot file.

use std::io;
use std::sync::PoisonError;

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
        writer.finish().map_err(as_io)
    }
}

/// An error as an I/O error, of the kind of the one at its root.
fn as_io(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(this) = cause {
        if let Some(io) = this.downcast_ref::<io::Error>()
            && io.get_ref().is_none()
        {
            return io::Error::new(io.kind(), error);
        }
        cause = this.source();
    }
    io::Error::other(error)
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
