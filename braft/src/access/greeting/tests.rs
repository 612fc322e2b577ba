use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};

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

/// What each side says in all.
const DIALER_BYTES: usize = MAGIC.len() + NONCE_BYTES + PLACE_BYTES + PROOF_BYTES;
const LISTENER_BYTES: usize = MAGIC.len() + NONCE_BYTES + 1 + PROOF_BYTES;

/// Passes on what comes, with some bits of it turned round.
async fn pass_on(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, turned: &[u8]) {
    let mut turned = turned.iter();
    while let Ok(byte) = from.read_u8().await {
        let byte = byte ^ turned.next().copied().unwrap_or_default();
        if to.write_u8(byte).await.is_err() {
            break;
        }
    }
}

/// What both sides come to if what they say is changed on the way.
async fn greet_through(turned: [&[u8]; 2]) -> (bool, bool) {
    let (mut ours, near) = duplex(1024);
    let (far, mut theirs) = duplex(1024);
    let ((near_read, near_write), (far_read, far_write)) = (split(near), split(far));
    let token = token("the-token-of-the-members");
    let greeting = async {
        let shown = show(&token, HERE, &mut ours, place(HERE));
        let (shown, demanded) = tokio::join!(shown, demand(&token, &mut theirs, place(HERE)));
        (
            shown.is_ok(),
            demanded.is_ok_and(|proven| proven == Proven::Member),
        )
    };
    let passing = async {
        tokio::join!(
            pass_on(near_read, far_write, turned[0]),
            pass_on(far_read, near_write, turned[1])
        );
        std::future::pending().await
    };
    tokio::select! {
        came = greeting => came,
        never = passing => never,
    }
}

/// Where a byte is changed, and how, if it is.
fn turned(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    let some = (0..bytes, 1_u8..=255).prop_map(move |(at, bits)| {
        let mut turned = vec![0; bytes];
        turned[at] = bits;
        turned
    });
    prop_oneof![
        1 => Just(Vec::new()),
        3 => some,
        1 => prop::collection::vec(any::<u8>(), 1..bytes),
    ]
}

#[test]
fn whatever_is_changed_on_the_way_proves_nothing() {
    let config = Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    };
    let changes = (turned(DIALER_BYTES), turned(LISTENER_BYTES));
    let greeted = TestRunner::new(config).run(&changes, |(to, back)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let came = runtime.block_on(greet_through([&to, &back]));
        let is_sound = |turned: &[u8]| turned.iter().all(|bits| *bits == 0);
        let (to_is_sound, back_is_sound) = (is_sound(&to), is_sound(&back));
        if to_is_sound && back_is_sound {
            prop_assert_eq!(came, (true, true));
        }
        prop_assert!(
            back_is_sound || !came.0,
            "the dialer believed it: {:?}",
            back
        );
        prop_assert!(to_is_sound || !came.1, "the listener believed it: {:?}", to);
        Ok(())
    });
    greeted.unwrap_or_else(|error| panic!("{error}"));
}
