//! The proof of the simulation: mistakes are planted into the nodes, one at a time, and each has to be
//! caught. The seed that catches it is then played again without it, and has to be clean.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use braft::testing::Bug;
use comfy_table::{ContentArrangement, Table};

use crate::Options;
use crate::stock::check_of;

/// Characters of what was found that the table shows.
const MAX_TEXT: usize = 110;

/// A mistake that was caught.
struct Caught {
    seed: u64,
    nodes: usize,
    what: String,
    /// Seconds of all its seeds, that one included.
    simulated: Duration,
    took: Duration,
    /// What the seed shows without the mistake; nothing if all is well.
    without: Option<String>,
}

/// Plants one mistake after the other; fails if one is not caught, or if a seed is not clean without.
pub(crate) fn hunt(options: &Options) -> ExitCode {
    let chosen = options.only.as_deref().unwrap_or_default();
    let bugs: Vec<_> = Bug::ALL
        .into_iter()
        .filter(|bug| bug.name().contains(chosen))
        .collect();
    if bugs.is_empty() {
        let all: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        eprintln!(
            "no mistake has '{chosen}' in its name; they are: {}",
            all.join(", ")
        );
        return ExitCode::FAILURE;
    }
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(bug) = bugs.get(at) else { return };
                    let caught = until_caught(options, *bug);
                    match &caught {
                        Some(caught) => println!("{}: seed {}", bug.name(), caught.seed),
                        None => println!("{}: escaped", bug.name()),
                    }
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.insert(at, caught);
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{}", table(&bugs, &found));
    let is_proof = |caught: &Option<Caught>| matches!(caught, Some(Caught { without: None, .. }));
    if found.values().all(is_proof) {
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn table(bugs: &[Bug], found: &BTreeMap<usize, Option<Caught>>) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "planted",
        "caught by",
        "nodes, seed",
        "simulated",
        "took",
        "without it",
    ]);
    for (bug, caught) in bugs.iter().zip(found.values()) {
        let row = match caught {
            None => [bug.name(), "ESCAPED", "", "", "", ""].map(String::from),
            Some(caught) => [
                bug.name().to_owned(),
                caught.what.clone(),
                format!("{}, {}", caught.nodes, caught.seed),
                format!("{} s", caught.simulated.as_secs()),
                format!("{:.1} s", caught.took.as_secs_f64()),
                caught.without.clone().unwrap_or_else(|| "clean".to_owned()),
            ],
        };
        table.add_row(row);
    }
    table
}

/// Plays seeds, three nodes and five in turn, until one shows the mistake.
fn until_caught(options: &Options, bug: Bug) -> Option<Caught> {
    let began = Instant::now();
    let budget = options
        .minutes
        .map(|minutes| Duration::from_secs(60 * minutes));
    let mut simulated = Duration::ZERO;
    for seed in options.first..options.first.saturating_add(options.seeds) {
        if budget.is_some_and(|budget| began.elapsed() > budget) {
            break;
        }
        let nodes = if seed % 4 == 0 { 5 } else { options.nodes };
        let (lasted, what) = play(options, nodes, seed, Some(bug));
        simulated += lasted;
        if let Some(what) = what {
            return Some(Caught {
                seed,
                nodes,
                what,
                simulated,
                took: began.elapsed(),
                without: play(options, nodes, seed, None).1,
            });
        }
    }
    None
}

/// Plays one seed: how long it lasted, and what was wrong.
fn play(
    options: &Options,
    nodes: usize,
    seed: u64,
    bug: Option<Bug>,
) -> (Duration, Option<String>) {
    let check = check_of(seed, nodes, options.seconds);
    let check = match bug {
        Some(bug) => check.planted(bug),
        None => check,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let played = match &runtime {
        Ok(runtime) => runtime
            .block_on(check.play(seed))
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match played {
        Ok((lasted, what)) => (lasted, what.map(|what| short(&what))),
        Err(error) => (Duration::ZERO, Some(short(&error))),
    }
}

/// In one line that is not too long.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_TEXT {
        return line;
    }
    let kept: String = line.chars().take(MAX_TEXT).collect();
    format!("{kept} …")
}
