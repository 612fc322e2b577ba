//! A union is no state.

#[braft::raft_service]
union Bits {
    whole: u64,
}

fn main() {}
