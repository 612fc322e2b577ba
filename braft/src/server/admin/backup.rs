//! A backup on its way to whoever asked for it.

use std::time::SystemTime;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::codec;
use crate::error::Error;
use crate::machine::SnapshotHeader;
use crate::member::display_id;
use crate::node::Core;
use crate::storage::backup::{Backup, Description, Part};
use crate::storage::snapshot::SnapshotFile;
use crate::wire::admin as pb;

/// Pieces read ahead of the network.
const PIECES_AHEAD: usize = 4;

/// The pieces of a backup made of a snapshot. The snapshot is read once before, so that one that is
/// damaged is not sent at all.
pub(super) async fn stream(
    core: &Core,
    snapshot: SnapshotFile,
) -> Result<impl Stream<Item = Result<pb::BackupResponse, Status>> + Send + use<>, Error> {
    let (node_id, cluster_name) = (core.peers().me().node_id, core.cluster_name().to_owned());
    let taken_at = crate::world::wall_clock();
    let begun = crate::world::blocking(move || begin(snapshot, node_id, cluster_name, taken_at));
    let mut backup = begun
        .await
        .map_err(|error| Error::fatal(format!("the backup was not begun: {error}")))??;
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        let mut total_bytes = backup.total_bytes();
        loop {
            let read = crate::world::blocking(move || {
                let piece = backup.next_piece();
                (backup, piece)
            });
            let failed = match read.await {
                Ok((same, Ok(Some(data)))) => {
                    backup = same;
                    let piece = pb::BackupResponse { total_bytes, data };
                    total_bytes = 0;
                    if sender.send(Ok(piece)).await.is_err() {
                        // Whoever asked is gone.
                        return;
                    }
                    continue;
                }
                Ok((_, Ok(None))) => return,
                Ok((_, Err(error))) => Status::data_loss(error.to_string()),
                Err(error) => Status::internal(error.to_string()),
            };
            drop(sender.send(Err(failed)).await);
            return;
        }
    });
    Ok(ReceiverStream::new(pieces))
}

fn begin(
    snapshot: SnapshotFile,
    node_id: u64,
    cluster_name: String,
    taken_at: SystemTime,
) -> Result<Backup, Error> {
    let failed = |error: &dyn std::error::Error| Error::fatal(error.to_string());
    let header: SnapshotHeader = codec::decode(&snapshot.meta)
        .map_err(|error| Error::fatal(format!("the snapshot's header: {error}")))?;
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let since = taken_at.duration_since(SystemTime::UNIX_EPOCH);
    let description = Description {
        cluster_id: header.cluster_id,
        cluster_name,
        node_id: display_id(node_id),
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        term: snapshot.last.term,
        index: snapshot.last.index,
        taken_at_ms: since.map_or(0, millis),
        log_time_ms: millis(header.clock),
        versions: header.versions.0,
        parts: Part::all_of(&snapshot).map_err(|error| failed(&error))?,
        snapshot_bytes: snapshot.bytes,
    };
    Backup::new(snapshot, &description).map_err(|error| failed(&error))
}
