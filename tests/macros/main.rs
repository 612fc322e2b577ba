//! `#[raft_service]` and `#[braft::test]`: what they accept, what they refuse, and hygiene.
#![allow(
    unreachable_pub,
    reason = "services are written as users write them, and nobody uses this crate"
)]

mod accepted;
mod hygiene;

/// Every refused form, with the text the user sees. `TRYBUILD=overwrite` rewrites the texts.
#[test]
fn refusals_stand_on_the_users_token_and_say_what_to_write() {
    // One run: each builds braft and its dependencies in a target folder of its own.
    trybuild::TestCases::new().compile_fail("macros/fail/*.rs");
}
