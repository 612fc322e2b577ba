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
const MAGIC: [u8; 8] = *b"braft\0j1";
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

async fn showing<S>(token: &JoinToken, to: &str, stream: &mut S, binding: Binding) -> io::Result<()>
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

async fn demanding<S>(token: &JoinToken, stream: &mut S, binding: Binding) -> io::Result<Proven>
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
mod tests {
    use tokio::io::duplex;

    use super::*;

    const HERE: &str = "10.0.0.1:15000";

    fn token(text: &str) -> JoinToken {
        JoinToken::of_text(text).expect("tokens")
    }

    fn place(text: &str) -> Binding {
        Binding::Place(text.parse().expect("an address"))
    }

    /// What both sides come to.
    async fn greet(
        (dialer, dialed): (&str, Binding),
        (listener, here): (&str, Binding),
    ) -> (Result<(), String>, Result<Proven, String>) {
        let (mut ours, mut theirs) = duplex(1024);
        let (dialer, listener) = (token(dialer), token(listener));
        let (shown, demanded) = tokio::join!(
            show(&dialer, HERE, &mut ours, dialed),
            demand(&listener, &mut theirs, here)
        );
        let text = |error: io::Error| error.to_string();
        (shown.map_err(text), demanded.map_err(text))
    }

    #[tokio::test]
    async fn who_knows_a_token_of_the_other_is_a_member_and_who_does_not_is_told() {
        let (old, new) = ("an-old-join-token-1", "a-new-join-token-22");
        let both = |first: &str, second: &str| format!("{first}\n{second}");
        for (ours, theirs) in [
            (old.to_owned(), old.to_owned()),
            // A change of the token, step by step.
            (old.to_owned(), both(old, new)),
            (both(old, new), old.to_owned()),
            (both(new, old), both(old, new)),
            (new.to_owned(), both(new, old)),
            (both(new, old), new.to_owned()),
        ] {
            let (shown, demanded) = greet((&ours, place(HERE)), (&theirs, place(HERE))).await;
            assert_eq!((shown, demanded), (Ok(()), Ok(Proven::Member)));
        }
        let (shown, demanded) = greet((new, place(HERE)), (old, place(HERE))).await;
        let (shown, demanded) = (shown.unwrap_err(), demanded.unwrap_err());
        assert!(shown.contains("another join token"), "{shown}");
        assert!(demanded.contains("another join token"), "{demanded}");
    }

    #[tokio::test]
    async fn a_connection_that_somebody_passes_on_is_refused() {
        let key = "the-token-of-the-members";
        let passed_on = greet((key, place("10.0.0.66:15000")), (key, place(HERE))).await;
        assert!(passed_on.0.unwrap_err().contains("another address"));
        assert!(passed_on.1.unwrap_err().contains("another address"));
        let ends = [[1; 32], [2; 32]].map(Binding::Secured);
        let passed_on = greet((key, ends[0]), (key, ends[1])).await;
        assert!(passed_on.1.unwrap_err().contains("another join token"));
        let direct = greet((key, ends[0]), (key, ends[0])).await;
        assert_eq!(direct, (Ok(()), Ok(Proven::Member)));
    }

    #[tokio::test]
    async fn a_client_is_nobody_and_what_it_said_is_kept() {
        let (mut ours, mut theirs) = duplex(1024);
        ours.write_all(b"PRI * HTTP/2.0").await.expect("a pipe");
        let token = token("the-token-of-the-members");
        let found = demand(&token, &mut theirs, Binding::Nothing).await;
        assert_eq!(found.expect("no error"), Proven::Nobody(*b"PRI * HT"));
        let mut rest = [0; 6];
        theirs.read_exact(&mut rest).await.expect("the rest");
        assert_eq!(&rest, b"TP/2.0");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_given_up_and_who_answers_otherwise_is_named() {
        let token = token("the-token-of-the-members");
        let (_silent, mut theirs) = duplex(1024);
        let given_up = demand(&token, &mut theirs, Binding::Nothing).await;
        assert_eq!(given_up.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (mut ours, mut theirs) = duplex(1024);
        // As a server of HTTP/2 begins.
        theirs.write_all(&[0; 32]).await.expect("a pipe");
        let shown = show(&token, HERE, &mut ours, Binding::Nothing).await;
        let why = shown.unwrap_err().to_string();
        assert!(why.contains(HERE) && why.contains("it has none"), "{why}");
    }

    #[tokio::test]
    async fn whoever_pretends_to_know_the_token_is_found_out() {
        let (mut ours, mut theirs) = duplex(1024);
        let pretending = async {
            let mut heard = [0; MAGIC.len() + NONCE_BYTES + PLACE_BYTES];
            theirs.read_exact(&mut heard).await?;
            theirs
                .write_all(&[&MAGIC[..], &[7; NONCE_BYTES]].concat())
                .await?;
            let mut proof = [0; PROOF_BYTES];
            theirs.read_exact(&mut proof).await?;
            // What it was told is all it has.
            theirs.write_all(&[&[RIGHT], &proof[..]].concat()).await
        };
        let token = token("the-token-of-the-members");
        let showing = show(&token, HERE, &mut ours, place(HERE));
        let (shown, pretended) = tokio::join!(showing, pretending);
        pretended.expect("a pipe");
        let why = shown.unwrap_err().to_string();
        assert!(why.contains("does not know the join token"), "{why}");
    }
}
