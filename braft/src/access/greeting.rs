//! The proof of the join token, on a new connection, before anything else is said on it.
//!
//! | from | bytes |
//! |---|---|
//! | dialer | [`MAGIC`], its random number, the place that it dialed |
//! | listener | [`MAGIC`], its random number |
//! | dialer | its proof |
//! | listener | a verdict; if the proof is right, its own |
//!
//! Who knocks proves first: a stranger who tries ports learns nothing to try tokens against. A client does
//! not know the token and begins with HTTP/2, whose first bytes are others.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::join::{Binding, JoinToken, NONCE_BYTES, PLACE_BYTES, PROOF_BYTES, Side, Talk, prove};

/// What a member begins with. HTTP/2 begins with "PRI * HT".
pub(super) const MAGIC: [u8; 8] = *b"braft\0j1";
/// The longest all of it may take.
const TIME: Duration = Duration::from_secs(5);

const RIGHT: u8 = 0;
const WRONG_TOKEN: u8 = 1;
const OTHER_PLACE: u8 = 2;

/// What became of a connection that was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Proven {
    /// The other side knows the join token.
    Member,
    /// It has not begun with a proof, but with these bytes.
    Nobody([u8; MAGIC.len()]),
}

/// Proves to the listener at `to` that this side knows the token, and has it do the same.
pub(crate) async fn show<S>(
    token: &JoinToken,
    to: &str,
    stream: &mut S,
    binding: Binding,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shown = in_time(showing(token, to, stream, binding)).await;
    if let Err(error) = &shown
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        token.complain(&error.to_string());
    }
    shown
}

pub(super) async fn showing<S>(
    token: &JoinToken,
    to: &str,
    stream: &mut S,
    binding: Binding,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let keys = token.keys();
    let dialer = nonce()?;
    let mut hello = MAGIC.to_vec();
    hello.extend(dialer);
    hello.extend(binding.place());
    stream.write_all(&hello).await?;
    stream.flush().await?;
    let no_answer = || {
        denied(format!(
            "{to} does not answer to a join token: it has none, and this side has one; give all \
             nodes the same BRAFT_JOIN_TOKEN_FILE"
        ))
    };
    match read::<{ MAGIC.len() }>(stream).await {
        Ok(MAGIC) => {}
        // Over TLS it may be told just now why the certificate is refused.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
        Ok(_) | Err(_) => return Err(no_answer()),
    }
    let talk = Talk {
        dialer,
        listener: read::<NONCE_BYTES>(stream).await?,
        binding,
    };
    stream
        .write_all(&prove(keys.first(), Side::Dialer, &talk))
        .await?;
    stream.flush().await?;
    match stream.read_u8().await? {
        RIGHT => {}
        WRONG_TOKEN => {
            return Err(denied(format!(
                "{to} has another join token; give all nodes the same BRAFT_JOIN_TOKEN_FILE"
            )));
        }
        OTHER_PLACE => {
            return Err(denied(format!(
                "{to} is reached at another address than the one dialed: something between passes \
                 connections on; dial it directly, or use TLS"
            )));
        }
        other => {
            let text = format!("{to} gave an answer that this build does not know: {other}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    }
    let proof = read::<PROOF_BYTES>(stream).await?;
    if keys.proven(Side::Listener, &talk, &proof).is_none() {
        return Err(denied(format!(
            "{to} does not know the join token, and says it does; find out what answers there"
        )));
    }
    Ok(())
}

/// Finds out whether the other side of a connection knows the token; has it see that this side does.
/// An error says why the connection is to be closed.
pub(crate) async fn demand<S>(
    token: &JoinToken,
    stream: &mut S,
    binding: Binding,
) -> io::Result<Proven>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    in_time(demanding(token, stream, binding)).await
}

pub(super) async fn demanding<S>(
    token: &JoinToken,
    stream: &mut S,
    binding: Binding,
) -> io::Result<Proven>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let first = read::<{ MAGIC.len() }>(stream).await?;
    if first != MAGIC {
        return Ok(Proven::Nobody(first));
    }
    let keys = token.keys();
    let dialer = read::<NONCE_BYTES>(stream).await?;
    let place = read::<PLACE_BYTES>(stream).await?;
    let listener = nonce()?;
    let mut answer = MAGIC.to_vec();
    answer.extend(listener);
    stream.write_all(&answer).await?;
    stream.flush().await?;
    let proof = read::<PROOF_BYTES>(stream).await?;
    let talk = Talk {
        dialer,
        listener,
        binding,
    };
    let is_elsewhere = place != binding.place();
    let found = keys.proven(Side::Dialer, &talk, &proof);
    let Some(key) = found.filter(|_| !is_elsewhere) else {
        let (verdict, why) = if is_elsewhere {
            (OTHER_PLACE, "it was dialed at another address")
        } else {
            (WRONG_TOKEN, "it has another join token")
        };
        stream.write_u8(verdict).await?;
        stream.shutdown().await?;
        return Err(denied(why.to_owned()));
    };
    let mut verdict = vec![RIGHT];
    verdict.extend(prove(key, Side::Listener, &talk));
    stream.write_all(&verdict).await?;
    stream.flush().await?;
    Ok(Proven::Member)
}

async fn read<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn nonce() -> io::Result<[u8; NONCE_BYTES]> {
    let mut nonce = [0; NONCE_BYTES];
    for part in nonce.chunks_mut(8) {
        part.copy_from_slice(&crate::world::random()?.to_be_bytes());
    }
    Ok(nonce)
}

fn denied(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

async fn in_time<T>(greeting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(TIME, greeting).await.unwrap_or_else(|_| {
        let text = format!("the proof of the join token took longer than {TIME:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

#[cfg(test)]
mod tests;
