//! The state read from a snapshot file.

use std::io;

use openraft::storage::Snapshot;
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};

use super::state_machine::StateMachine;
use super::types::{TypeConfig, log_id, stored_membership_of};
use crate::codec;
use crate::machine::{Machine, Replica, SnapshotHeader};
use crate::storage::snapshot::SnapshotFile;

/// Bytes of a snapshot file copied at once.
const COPY_CHUNK_BYTES: usize = 1 << 20;

impl StateMachine {
    /// Loads a snapshot file into the machine.
    pub(crate) fn load(&self, file: &SnapshotFile) -> io::Result<()> {
        let replica = self.read_replica(&self.shared.machine, file)?;
        let applied = replica.applied();
        self.shared.machine.replace(replica);
        self.applied(applied.map_or(0, |(_, index)| index));
        self.show();
        self.heed_verdicts();
        Ok(())
    }

    /// The replica in a snapshot file.
    pub(super) fn read_replica(
        &self,
        machine: &Machine,
        file: &SnapshotFile,
    ) -> io::Result<Replica> {
        let (cluster_id, node_id) = (self.shared.cluster_id, self.shared.node_id);
        read_replica(machine, Some(cluster_id), node_id, file)
    }

    /// Makes a file the current snapshot of this node's store, if it is not.
    pub(super) fn adopt(&self, file: &SnapshotFile) -> io::Result<()> {
        let store = &self.shared.snapshots;
        // A later one may have come in meanwhile.
        let will_do =
            |current: SnapshotFile| current.file_id == file.file_id || current.last > file.last;
        if store.current().is_some_and(will_do) {
            return Ok(());
        }
        let mut receiver = store
            .receive(&file.file_id, file.bytes)
            .map_err(io::Error::other)?;
        while receiver.offset() < file.bytes {
            let offset = receiver.offset();
            let chunk = file.read_at(offset, COPY_CHUNK_BYTES)?;
            receiver.write(offset, &chunk).map_err(io::Error::other)?;
        }
        receiver.finish().map(drop).map_err(io::Error::other)
    }
}

/// The replica in a snapshot file, of this cluster if one is given.
pub(super) fn read_replica(
    machine: &Machine,
    cluster_id: Option<u128>,
    node_id: u64,
    file: &SnapshotFile,
) -> io::Result<Replica> {
    let header: SnapshotHeader = read_header(file)?;
    if let Some(ours) = cluster_id
        && header.cluster_id != format!("{ours:032x}")
    {
        return Err(io::Error::other(format!(
            "snapshot {} belongs to cluster {}, this node to {ours:032x}; nothing was installed",
            file.path.display(),
            header.cluster_id,
        )));
    }
    let mut loading = machine.load(header).map_err(io::Error::other)?;
    let mut sections = file.sections();
    while let Some((name, mut from)) = sections.next_section().map_err(io::Error::other)? {
        loading
            .section(&name, &mut from)
            .map_err(io::Error::other)?;
    }
    loading.finish(node_id).map_err(io::Error::other)
}

fn read_header(file: &SnapshotFile) -> io::Result<SnapshotHeader> {
    codec::decode(&file.meta).map_err(|error| {
        io::Error::other(format!(
            "the header of snapshot {} cannot be read: {error}",
            file.path.display()
        ))
    })
}

/// What openraft knows of a snapshot, from the file's header.
pub(super) fn describe(file: SnapshotFile) -> io::Result<SnapshotOf<TypeConfig, SnapshotFile>> {
    let header = read_header(&file)?;
    let last_membership = stored_membership_of(&header.members)
        .ok_or_else(|| io::Error::other("the members in the snapshot contradict each other"))?;
    let last_log_id = header.applied.map(|(term, index)| log_id(term, index));
    let meta = SnapshotMetaOf::<TypeConfig> {
        last_log_id,
        last_membership,
    };
    Ok(Snapshot {
        meta,
        snapshot: file,
    })
}
