//! Files of tokens as users may write them, and greetings as strangers may send them, for tests that feed the
//! readers anything.

use futures_util::FutureExt;
use tokio::io::{join, sink};

use super::greeting::{MAGIC, demanding, showing};
use super::join::{Binding, JoinToken, Keys, NONCE_BYTES, PLACE_BYTES, PROOF_BYTES};
use super::tokens::Table;

/// Reads a file of the tokens of callers; whether it is sound.
pub(crate) fn read_tokens(text: &str) -> bool {
    Table::read(text, None).is_ok()
}

/// Reads a file of join tokens; whether it is sound.
pub(crate) fn read_join_tokens(text: &str) -> bool {
    Keys::read(text, None).is_ok()
}

/// What clients, dialers and listeners begin with. The proofs are right for no connection.
pub(crate) fn greetings() -> Vec<Vec<u8>> {
    let client = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let numbers = [7; NONCE_BYTES + PLACE_BYTES + PROOF_BYTES];
    let dialer = [&MAGIC[..], &numbers].concat();
    let verdict = [0; 1 + PROOF_BYTES];
    let listener = [&MAGIC[..], &numbers[..NONCE_BYTES], &verdict].concat();
    vec![client, dialer, listener]
}

/// Hears a greeting as the one that was dialed, and as the one that dials; whether the first goes on with it.
/// Nobody is a member by it.
pub(crate) fn read_greeting(bytes: &[u8]) -> bool {
    let token = JoinToken::of_text("the-token-of-the-members").expect("it is long enough");
    let place = Binding::Place(([10, 0, 0, 1], 15_000).into());
    let mut heard = join(bytes, sink());
    let demanded = demanding(&token, &mut heard, place).now_or_never();
    let demanded = demanded.expect("all that is said is there");
    let mut heard = join(bytes, sink());
    let shown = showing(&token, "10.0.0.1:15000", &mut heard, place).now_or_never();
    let shown = shown.expect("all that is said is there");
    assert!(shown.is_err(), "a proof was guessed");
    match demanded {
        Ok(super::Proven::Nobody(first)) => {
            assert!(bytes.starts_with(&first), "what was heard is passed on");
            true
        }
        Ok(super::Proven::Member) => panic!("a proof was guessed"),
        Err(_) => false,
    }
}
