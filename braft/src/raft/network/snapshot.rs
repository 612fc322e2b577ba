//! A snapshot file on its way to a peer: offered, then sent from where the peer left off.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use openraft::errors::{NetworkError, StreamingError};
use openraft::raft::SnapshotResponse;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::VoteOf;

use super::super::types::TypeConfig;
use super::client::PeerClient;
use super::convert;
use super::peers::Peers;
use crate::storage::snapshot::SnapshotFile;
use crate::wire::v1 as pb;

/// Bytes of the file in one message.
const CHUNK_BYTES: usize = 1 << 20;
/// The longest a peer may take to answer an offer.
const OFFER_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest a peer may take to receive and install a whole file.
const SEND_TIMEOUT: Duration = Duration::from_secs(3600);

pub(super) async fn send(
    client: &PeerClient,
    vote: VoteOf<TypeConfig>,
    file: SnapshotFile,
) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
    let mut rpc = client.connect().await?;
    let offer = pb::SnapshotOffer {
        envelope: Some(client.envelope()),
        vote: Some(convert::vote_to(&vote)),
        file_id: file.file_id.clone(),
        total_bytes: file.bytes,
    };
    let offered = TypeConfig::timeout(OFFER_TIMEOUT, rpc.offer_snapshot(offer.clone()))
        .await
        .map_err(|_| failed("no answer to the offer of a snapshot"))?
        .map_err(|status| client.failed(&status))?
        .into_inner();
    if let Some(higher) = offered.higher_vote {
        let vote = convert::vote_from(Some(higher)).map_err(failed)?;
        return Ok(SnapshotResponse::new(vote));
    }
    let sent = TypeConfig::timeout(
        SEND_TIMEOUT,
        rpc.send_snapshot(chunks(client.peers(), file, offer, offered.offset)),
    )
    .await
    .map_err(|_| failed("the snapshot was not installed in time"))?
    .map_err(|status| client.failed(&status))?
    .into_inner();
    Ok(SnapshotResponse::new(
        convert::vote_from(sent.vote).map_err(failed)?,
    ))
}

fn failed(error: impl ToString) -> StreamingError<TypeConfig> {
    StreamingError::Network(NetworkError::from_string(error))
}

/// The file from `offset` on. A read error ends the stream early, which the peer notices, and this node
/// stops: it would go on giving to nobody what others need, and could not start on that file itself.
pub(super) fn chunks(
    peers: Arc<Peers>,
    file: SnapshotFile,
    offer: pb::SnapshotOffer,
    offset: u64,
) -> impl futures_util::Stream<Item = pb::SnapshotChunk> + Send + 'static {
    stream::unfold(
        (peers, file, Some(offer), offset),
        |(peers, file, offer, offset)| async move {
            // The first chunk carries the offer, even if the peer has the whole file already.
            if offset >= file.bytes && offer.is_none() {
                return None;
            }
            match file.read_at(offset, CHUNK_BYTES) {
                Ok(data) => {
                    let next = offset + data.len() as u64;
                    let chunk = pb::SnapshotChunk {
                        offer,
                        offset,
                        data,
                    };
                    Some((chunk, (peers, file, None, next)))
                }
                Err(error) => {
                    peers.stop(format!(
                        "a snapshot that another node needs cannot be read: {error}; look at the \
                         disk, then start this node again"
                    ));
                    None
                }
            }
        },
    )
}
