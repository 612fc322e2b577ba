//! The turns: each system in each round, on new disks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::available_parallelism;

use load::{Figures, Operation};
use serde::Serialize;

use crate::CompareArgs;
use crate::systems::{Found, System};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Rounds {
    pub(crate) machine: Machine,
    pub(crate) value_bytes: usize,
    pub(crate) seconds: f64,
    pub(crate) connections: u32,
    /// What took part, in the order of the turns.
    pub(crate) systems: Vec<Taken>,
    /// What did not, and why.
    pub(crate) skipped: Vec<Skipped>,
    /// For each round, the figures of each system.
    pub(crate) rounds: Vec<Vec<Turn>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpus: usize,
    pub(crate) system: String,
    pub(crate) data_below: PathBuf,
}

#[derive(Debug, Serialize)]
pub(crate) struct Taken {
    pub(crate) system: System,
    #[serde(flatten)]
    pub(crate) found: Found,
}

#[derive(Debug, Serialize)]
pub(crate) struct Skipped {
    pub(crate) system: System,
    pub(crate) why: String,
}

/// One system's turn.
#[derive(Debug, Serialize)]
pub(crate) struct Turn {
    pub(crate) system: System,
    pub(crate) figures: Vec<Figures>,
}

/// What one figure is comparable by: the operation, and clients or rate.
pub(crate) type Cell = (Operation, Option<u32>, Option<u64>);

impl Rounds {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures are plain data")
    }

    /// The cells in the order in which they were measured.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for figures in self.rounds.iter().flatten().flat_map(|turn| &turn.figures) {
            let cell = cell(figures);
            if !cells.contains(&cell) {
                cells.push(cell);
            }
        }
        cells
    }

    /// The figures of a system in a cell, by round.
    pub(crate) fn of(&self, system: System, wanted: Cell) -> BTreeMap<usize, &Figures> {
        let mut found = BTreeMap::new();
        for (round, turns) in self.rounds.iter().enumerate() {
            let turns = turns.iter().filter(|turn| turn.system == system);
            let mut figures = turns.flat_map(|turn| &turn.figures);
            if let Some(figures) = figures.find(|figures| cell(figures) == wanted) {
                found.insert(round, figures);
            }
        }
        found
    }
}

fn cell(figures: &Figures) -> Cell {
    (figures.operation, figures.clients, figures.rate)
}

/// Gives each system its turn in each round. A system that fails once is skipped from then on.
pub(crate) async fn run(args: &CompareArgs) -> Result<Rounds, String> {
    let below = args.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut skipped = Vec::new();
    let mut systems = Vec::new();
    for system in &args.systems {
        match system.find().await {
            Ok(found) => systems.push(Taken {
                system: *system,
                found,
            }),
            Err(why) => {
                eprintln!("skipped: {why}");
                skipped.push(Skipped {
                    system: *system,
                    why,
                });
            }
        }
    }
    let mut rounds = Vec::new();
    for round in 1..=args.rounds {
        let mut turns = Vec::new();
        for taken in &systems {
            let system = taken.system;
            if skipped.iter().any(|skipped| skipped.system == system) {
                continue;
            }
            eprintln!("round {round} of {}: {system}", args.rounds);
            match system.measure(&args.load, &below).await {
                Ok(figures) => turns.push(Turn { system, figures }),
                Err(why) => {
                    eprintln!("skipped from now on: {why}");
                    skipped.push(Skipped { system, why });
                }
            }
        }
        rounds.push(turns);
    }
    if rounds.iter().all(Vec::is_empty) {
        return Err("nothing could be measured".to_owned());
    }
    let uname = rustix::system::uname();
    let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    Ok(Rounds {
        machine: Machine {
            cpus: available_parallelism().map_or(0, usize::from),
            system: format!("{} {}", part(uname.sysname()), part(uname.release())),
            data_below: below,
        },
        value_bytes: args.load.value_bytes,
        seconds: args.load.seconds.as_secs_f64(),
        connections: args.load.connections,
        systems,
        skipped,
        rounds,
    })
}
