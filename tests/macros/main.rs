//! `#[raft_service]` and `#[braft::test]`: what they accept, what they refuse, and hygiene.

mod accepted;
