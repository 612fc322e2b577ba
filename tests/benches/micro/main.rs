//! What the parts of a node cost by themselves.
//!
//! `cargo bench -p tests --bench micro`, with a part's name behind `--` for that part alone, and with
//! `--quick` for a first impression. What a part costs says little about a call, which most of them share:
//! it says where to look, and what a change has changed.
//!
//! | file | what it measures |
//! |---|---|
//! | `log.rs` | entries appended and synced, beside a plain `pwrite` and `fdatasync` |
//! | `codec.rs` | MessagePack of commands and answers, log entries |
//! | `dispatch.rs` | a command of one service, from its bytes to those of its answer |
//! | `apply.rs` | an entry with commands carried out by the state machine, and queries |
//! | `sessions.rs` | the table that keeps commands from running twice |
//! | `frames.rs` | frames of clients, messages between nodes |
//! | `snapshot.rs` | a state written to a snapshot, and one that comes in |

#![allow(unreachable_pub)] // services are public in life

mod apply;
mod codec;
mod dispatch;
mod frames;
mod log;
mod sessions;
mod snapshot;
mod store;

criterion::criterion_group!(
    benches,
    log::benches,
    codec::benches,
    dispatch::benches,
    apply::benches,
    sessions::benches,
    frames::benches,
    snapshot::benches
);
criterion::criterion_main!(benches);
