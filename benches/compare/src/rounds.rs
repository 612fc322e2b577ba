//! The turns: each system in each round, on new disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use load::{Figures, Operation};
use serde::Serialize;

use crate::CompareArgs;
use crate::parts::{self, Failover, Filling, Floor, Loss, Memory, Part, Start};
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
    /// Before each round of load: what this machine can do at best.
    pub(crate) floors: Vec<Floor>,
    /// For each round of load, the figures of each system.
    pub(crate) load: Vec<Vec<Turn<Vec<Figures>>>>,
    pub(crate) starts: Vec<Turn<Start>>,
    pub(crate) failovers: Vec<Turn<Failover>>,
    pub(crate) memory: Vec<Turn<Memory>>,
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
pub(crate) struct Turn<T> {
    pub(crate) system: System,
    pub(crate) figures: T,
}

/// What one figure is comparable by: the operation, and clients or rate.
pub(crate) type Cell = (Operation, Option<u32>, Option<u64>);

impl Rounds {
    /// Looks what is there; nothing is measured yet.
    async fn new(args: &CompareArgs, below: &Path) -> Self {
        let mut skipped = Vec::new();
        let mut systems = Vec::new();
        for system in &args.systems {
            let system = *system;
            match system.find().await {
                Ok(found) => systems.push(Taken { system, found }),
                Err(why) => {
                    eprintln!("skipped: {why}");
                    skipped.push(Skipped { system, why });
                }
            }
        }
        let uname = rustix::system::uname();
        let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Rounds {
            machine: Machine {
                cpus: available_parallelism().map_or(0, usize::from),
                system: format!("{} {}", part(uname.sysname()), part(uname.release())),
                data_below: below.to_owned(),
            },
            value_bytes: args.load.value_bytes,
            seconds: args.load.seconds.as_secs_f64(),
            connections: args.load.connections,
            systems,
            skipped,
            floors: Vec::new(),
            load: Vec::new(),
            starts: Vec::new(),
            failovers: Vec::new(),
            memory: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.load.iter().all(Vec::is_empty)
            && self.starts.is_empty()
            && self.failovers.is_empty()
            && self.memory.is_empty()
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures are plain data")
    }

    /// What memory was measured after, in that order, with what is live then, bytes.
    pub(crate) fn fillings(&self) -> Vec<(Filling, u64)> {
        let turns = self.memory.iter().map(|turn| &turn.figures);
        let mut fillings: Vec<_> = turns.map(|one| (one.filling, one.live_bytes)).collect();
        fillings.dedup();
        fillings
    }

    /// The cells in the order in which they were measured.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for figures in self.load.iter().flatten().flat_map(|turn| &turn.figures) {
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
        for (round, turns) in self.load.iter().enumerate() {
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

/// Gives each system its turn in each round of each part. A system that fails once is skipped from then
/// on.
pub(crate) async fn run(args: &CompareArgs) -> Result<Rounds, String> {
    let below = args.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut rounds = Rounds::new(args, &below).await;
    for part in &args.part {
        match part {
            Part::Load => load(&mut rounds, args, &below).await?,
            Part::Start => {
                for round in 1..=args.rounds {
                    let what = format!("start {round} of {}", args.rounds);
                    let start = async |system: System| system.start(&below).await;
                    let starts = turns(&mut rounds, &what, true, start).await;
                    rounds.starts.extend(starts);
                }
            }
            Part::Failover => {
                for (how, times) in [(Loss::Killed, args.failovers), (Loss::Silent, args.rounds)] {
                    for time in 1..=times {
                        let what = format!("failover {time} of {times}, {how:?}");
                        let lost = async |system: System| system.fail_over(how, &below).await;
                        let failovers = turns(&mut rounds, &what, true, lost).await;
                        rounds.failovers.extend(failovers);
                    }
                }
            }
            Part::Memory => {
                let writes = args.memory_writes;
                for keys in [writes, args.load.keys.min(writes)] {
                    let filling = Filling { writes, keys };
                    for round in 1..=args.rounds {
                        let what =
                            format!("{writes} writes to {keys} keys, {round} of {}", args.rounds);
                        let fill = async |system: System| system.fill(filling, &below).await;
                        let memory = turns(&mut rounds, &what, true, fill).await;
                        rounds.memory.extend(memory);
                    }
                }
            }
        }
    }
    match rounds.is_empty() {
        true => Err("nothing could be measured".to_owned()),
        false => Ok(rounds),
    }
}

async fn load(rounds: &mut Rounds, args: &CompareArgs, below: &Path) -> Result<(), String> {
    for round in 1..=args.rounds {
        let floor = parts::floor::measure(below);
        let floor = floor.map_err(|error| format!("{}: {error}", below.display()))?;
        rounds.floors.push(floor);
        let what = format!("round {round} of {}", args.rounds);
        let load = async |system: System| system.load(&args.load, below).await;
        let turns = turns(rounds, &what, false, load).await;
        rounds.load.push(turns);
    }
    Ok(())
}

/// One turn of each system that is there, or of those that take all parts.
async fn turns<T>(
    rounds: &mut Rounds,
    what: &str,
    only_all_parts: bool,
    measure: impl AsyncFn(System) -> Result<T, String>,
) -> Vec<Turn<T>> {
    let mut turns = Vec::new();
    let systems: Vec<_> = rounds.systems.iter().map(|taken| taken.system).collect();
    for system in systems {
        let skipped = rounds
            .skipped
            .iter()
            .any(|skipped| skipped.system == system);
        if skipped || (only_all_parts && !system.takes_all_parts()) {
            continue;
        }
        eprintln!("{what}: {system}");
        match measure(system).await {
            Ok(figures) => turns.push(Turn { system, figures }),
            Err(why) => {
                eprintln!("skipped from now on: {why}");
                rounds.skipped.push(Skipped { system, why });
            }
        }
    }
    turns
}
