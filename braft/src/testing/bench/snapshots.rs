//! A state on its way to a disk and back.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::replica::Replica;
use crate::codec;
use crate::error::Error;
use crate::machine::SectionSink;
use crate::raft::replaying;
use crate::storage::fs::DiskFs;
use crate::storage::snapshot::{SnapshotFile, SnapshotStore, SnapshotWriter};
use crate::storage::wal::LogId;

const CLUSTER_ID: u128 = 7;
const NODE_ID: u64 = 7;
/// Bytes of one piece on its way from node to node.
const PIECE_BYTES: usize = 1 << 20;

/// The snapshots of one node.
pub struct Snapshots(SnapshotStore);

struct Sink<'a>(&'a mut SnapshotWriter);

impl SectionSink for Sink<'_> {
    fn section(
        &mut self,
        name: &str,
        fill: &mut dyn FnMut(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        fill(&mut self.0.section(name).expect("the disk has room"))
    }
}

impl Snapshots {
    /// In a directory without any.
    pub fn open(directory: &Path) -> Self {
        let store = SnapshotStore::open(Arc::new(DiskFs), directory);
        Snapshots(store.expect("it is empty"))
    }

    /// Writes the state of a replica, and makes it durable; the bytes of the file.
    pub fn write(&self, replica: &Replica) -> u64 {
        let replica = replica.machine.read();
        let header = replica.snapshot_header(CLUSTER_ID, NODE_ID);
        let frozen = replica.freeze();
        let (term, index) = header.applied.unwrap_or_default();
        let meta = codec::encode(&header).expect("a header has a form");
        let writer = self.0.create(LogId { term, index }, &meta);
        let mut writer = writer.expect("the disk has room");
        let mut sink = Sink(&mut writer);
        let saved = replica.save_rest(&frozen, &mut sink);
        saved
            .and_then(|()| frozen.save(&mut sink))
            .expect("the state has a form");
        writer.finish().expect("the disk has room").bytes
    }

    /// Takes the newest snapshot of another node in, piece by piece, checks it, makes it durable, and
    /// puts its state in the place of the replica's; the bytes of the file.
    pub fn install(&self, from: &Snapshots, replica: &Replica) -> u64 {
        let sent = from.0.current().expect("one was written");
        let file = self.receive(&sent);
        replaying::load(&replica.machine, &file).expect("the replica knows the service");
        file.bytes
    }

    fn receive(&self, sent: &SnapshotFile) -> SnapshotFile {
        let receiver = self.0.receive(&sent.file_id, sent.bytes);
        let mut receiver = receiver.expect("the disk has room");
        while receiver.offset() < sent.bytes {
            let offset = receiver.offset();
            let piece = sent
                .read_at(offset, PIECE_BYTES)
                .expect("the disk is sound");
            receiver.write(offset, &piece).expect("the disk has room");
        }
        receiver.finish().expect("it is the file that was sent")
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Snapshots").finish_non_exhaustive()
    }
}
