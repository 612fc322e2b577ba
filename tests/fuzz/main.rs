//! Everything that reads, fed with sound input that was changed here and there, and with anything:
//! no panic, and no more memory than the input is worth.
//!
//! `FUZZ_CASES=100000 cargo test -p tests --test fuzz` feeds more. One test only: memory is measured
//! for the whole process.

use braft::testing::fuzz::{Target, targets};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Cases for each reader, unless the environment says otherwise.
const CASES: u32 = 250;
/// What a reader may take whatever it reads: the buffers of a log or a snapshot.
const MEMORY_BYTES: usize = 4 << 20;
/// And for each byte of its input.
const MEMORY_PER_BYTE: usize = 200;
/// The reader of which only the first input can be sound.
const GREETING: &str = "greeting of a member";
/// The longest input that is no change of a sound one.
const MAX_BYTES: usize = 600;

/// One change of a sound input; places are taken modulo its length.
#[derive(Clone, Debug)]
enum Change {
    Flip(usize, u8),
    Set(usize, u8),
    /// A length or a count that is as large as it can be.
    Blow(usize, usize),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<usize>();
    prop_oneof![
        (place, 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (place, any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (place, 1_usize..9).prop_map(|(at, length)| Change::Blow(at, length)),
        (place, prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (place, 1_usize..40).prop_map(|(at, length)| Change::Remove(at, length)),
        (place, 1_usize..40).prop_map(|(at, length)| Change::Repeat(at, length)),
        place.prop_map(Change::Cut),
    ]
}

fn changed(seed: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for change in changes {
        let count = bytes.len();
        if count == 0 {
            break;
        }
        let range = |at: usize, length: usize| {
            let at = at % count;
            at..(at + length).min(count)
        };
        match change {
            Change::Flip(at, bit) => bytes[at % count] ^= 1 << bit,
            Change::Set(at, byte) => bytes[at % count] = *byte,
            Change::Blow(at, length) => bytes[range(*at, *length)].fill(0xff),
            Change::Insert(at, more) => {
                let at = at % count;
                bytes.splice(at..at, more.iter().copied());
            }
            Change::Remove(at, length) => drop(bytes.drain(range(*at, *length))),
            Change::Repeat(at, length) => {
                let part = bytes[range(*at, *length)].to_vec();
                let at = at % count;
                bytes.splice(at..at, part);
            }
            Change::Cut(at) => bytes.truncate(at % count),
        }
    }
    bytes
}

/// Mostly changed ones; some that are nothing but bytes.
fn input(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changed = (
        prop::sample::select(seeds),
        prop::collection::vec(change(), 1..5),
    )
        .prop_map(|(seed, changes)| changed(&seed, &changes));
    prop_oneof![
        6 => changed,
        1 => prop::collection::vec(any::<u8>(), 0..MAX_BYTES),
    ]
}

/// Reads, and looks at what it took.
fn feed(target: &Target, bytes: &[u8]) -> Result<bool, TestCaseError> {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let is_sound = (target.read)(bytes);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let allowed = MEMORY_BYTES + MEMORY_PER_BYTE * bytes.len();
    prop_assert!(
        taken <= allowed,
        "{} bytes took {taken} bytes of memory, more than {allowed}",
        bytes.len()
    );
    Ok(is_sound)
}

#[test]
fn nothing_that_is_read_panics_or_takes_much_memory() {
    let cases = std::env::var("FUZZ_CASES").ok();
    let cases = cases.and_then(|text| text.parse().ok()).unwrap_or(CASES);
    for target in targets() {
        let seeds = (target.seeds)();
        let sound = seeds.iter().map(|seed| feed(&target, seed));
        let sound: Result<Vec<_>, _> = sound.collect();
        let sound = sound.unwrap_or_else(|error| panic!("{}: {error}", target.name));
        let refused = sound.iter().position(|is_sound| !is_sound);
        // The further greetings are those of a member, whose proof nobody else can make.
        let is_sound = refused.is_none_or(|at| target.name == GREETING && at > 0);
        assert!(
            is_sound,
            "{}: sound input {refused:?} is refused",
            target.name
        );
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let fed = TestRunner::new(config).run(&input(seeds), |bytes| {
            feed(&target, &bytes)?;
            Ok(())
        });
        if let Err(error) = fed {
            panic!("{}: {error}", target.name);
        }
    }
}
