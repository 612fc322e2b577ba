//! Clients that write and read without pause, and subscribers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use braft::{Client, ErrorKind, Outcome, ReadLevel};
use tests::Chance;

use crate::history::{Call, Entry, Fate, Level, Recording, Told};
use crate::service::{RegistersClient, Written};

/// Registers: few, so that clients meet.
pub(crate) const KEYS: u32 = 8;
/// The register that the harness itself writes, at the end.
pub(crate) const LAST_KEY: u32 = KEYS;
/// The longest one call may take: a client must not wait for one fault through the next ones.
const DEADLINE: Duration = Duration::from_secs(3);
/// The longest pause between two calls of a client.
const MAX_PAUSE_MS: u64 = 16;
/// How long a subscriber waits after an error.
const RESUME_AFTER: Duration = Duration::from_millis(100);

/// Ids that no two writes share.
#[derive(Default)]
pub(crate) struct Ids(AtomicU64);

impl Ids {
    pub(crate) fn fresh(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Calls as one client until the recording stops.
pub(crate) async fn call(
    registers: RegistersClient,
    client: u64,
    seed: u64,
    ids: Arc<Ids>,
    recording: Arc<Recording>,
) {
    let mut chance = Chance::of(seed ^ (client << 32));
    // What this client has last seen in each register: what a replacement expects.
    let mut seen = [0; KEYS as usize];
    while !recording.stop.load(Ordering::Relaxed) {
        let key = chance.below(KEYS.into()) as u32;
        let call = match chance.below(20) {
            0..7 => Call::Swap {
                key,
                id: ids.fresh(),
            },
            7..10 => Call::Replace {
                key,
                expected: seen[key as usize],
                id: ids.fresh(),
            },
            10..14 => get(key, Level::Linearizable),
            14..16 => get(key, Level::Lease),
            16..18 => get(key, Level::Follower),
            _ => get(key, Level::Session),
        };
        let began = recording.start.elapsed();
        let fate = make(&registers, call).await;
        let ended = recording.start.elapsed();
        if let Fate::Answered(value) = &fate {
            seen[key as usize] = match call {
                Call::Swap { id, .. } => id,
                _ => value.id,
            };
        }
        recording.note(Entry {
            client,
            call,
            began,
            ended,
            fate,
        });
        tokio::time::sleep(Duration::from_millis(chance.below(MAX_PAUSE_MS))).await;
    }
}

fn get(key: u32, level: Level) -> Call {
    Call::Get { key, level }
}

/// Makes one call.
pub(crate) async fn make(registers: &RegistersClient, call: Call) -> Fate {
    let answer = match call {
        Call::Swap { key, id } => registers.swap(key, id).deadline(DEADLINE).await,
        Call::Replace { key, expected, id } => {
            let replaced = registers.replace(key, expected, id);
            replaced.deadline(DEADLINE).await
        }
        Call::Get { key, level } => {
            let level = match level {
                Level::Linearizable => ReadLevel::Linearizable,
                Level::Lease => ReadLevel::Lease,
                Level::Follower => ReadLevel::Follower,
                Level::Session => ReadLevel::Session,
            };
            registers.get(key).read(level).deadline(DEADLINE).await
        }
    };
    match answer {
        Ok(value) => Fate::Answered(value),
        Err(error) if call.id().is_some() && error.outcome() != Outcome::NotApplied => {
            Fate::Unknown(error.to_string())
        }
        Err(error) => Fate::Refused(format!("{:?}: {error}", error.kind())),
    }
}

/// Collects all events, up to the one of the harness' own last write.
pub(crate) async fn subscribe(registers: RegistersClient) -> Told {
    let mut told = Told::default();
    let mut events = registers.events();
    loop {
        match events.next().await {
            Some(Ok((position, written))) => {
                told.events.push((position, written));
                if is_last(&written) {
                    return told;
                }
                continue;
            }
            Some(Err(error)) if error.kind() == ErrorKind::Compacted => {
                told.is_gapped = true;
                events = registers.events();
            }
            Some(Err(_)) | None => {
                let last = told.events.last().map(|(position, _)| *position);
                events = registers.events();
                if let Some(last) = last {
                    events = events.after(last);
                }
            }
        }
        tokio::time::sleep(RESUME_AFTER).await;
    }
}

fn is_last(written: &Written) -> bool {
    written.key == LAST_KEY
}
