//! The rounds as text: what took part, and how it compares.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use load::{Figures, Operation};

use crate::parts::{Filling, Floor, Loss, Memory};
use crate::rounds::{Cell, Rounds, Turn};
use crate::systems::NODES;
use crate::systems::System;

pub(crate) fn text(rounds: &Rounds) -> String {
    let mut out = String::new();
    let Rounds {
        machine,
        value_bytes,
        seconds,
        connections,
        ..
    } = rounds;
    let all = format!(
        "{} CPUs, {}, data below {}; {NODES} nodes in processes of their own on loopback; values of \
         {value_bytes} bytes; {seconds} s for each figure; connections shared by the clients: \
         {connections}\n\n",
        machine.cpus,
        machine.system,
        machine.data_below.display()
    );
    out.push_str(&all);
    for taken in &rounds.systems {
        let (system, found) = (taken.system, &taken.found);
        let _ = writeln!(out, "{system} {}: {}", found.version, found.differs);
    }
    for skipped in &rounds.skipped {
        let _ = writeln!(out, "{} skipped: {}", skipped.system, skipped.why);
    }
    out.push('\n');
    if !rounds.load.is_empty() {
        let _ = writeln!(out, "{}\n\n{}\n", table(rounds), floor(rounds));
    }
    let _ = write!(out, "{}", rest(rounds));
    out
}

/// How a lone client's write compares with what this machine can do at best.
fn floor(rounds: &Rounds) -> String {
    let middle = |of: fn(&Floor) -> f64| {
        let all = rounds.floors.iter().map(of);
        Spread::of(all).map_or(0.0, |spread| spread.median)
    };
    let write = middle(Floor::write_us);
    let mut out = format!(
        "one sync of the disk {:.0} us, one round trip over loopback {:.0} us; a sync and two round \
         trips {write:.0} us (medians)",
        middle(|floor| floor.sync_us),
        middle(|floor| floor.round_trip_us),
    );
    let alone = (Operation::Put, Some(1), None);
    for taken in &rounds.systems {
        let figures = rounds.of(taken.system, alone);
        let ratios = figures.iter().filter_map(|(round, one)| {
            let floor = rounds.floors.get(*round)?;
            Some(one.p50_us as f64 / floor.write_us())
        });
        if let Some(ratio) = Spread::of(ratios) {
            let _ = write!(
                out,
                "; {}, p50 of one client: {:.2} times that, {:.2} to {:.2}",
                taken.system, ratio.median, ratio.min, ratio.max
            );
        }
    }
    out
}

/// The other parts: one line for each figure.
fn rest(rounds: &Rounds) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_BORDERS_ONLY)
        .set_header(["what", "system", "median", "min", "max", "times"]);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for (what, all) in [
        (
            "three nodes on empty disks to serving, ms",
            all(&rounds.starts, |start| Some(start.cluster_ms)),
        ),
        (
            "a killed follower back to serving, ms",
            all(&rounds.starts, |start| Some(start.follower_ms)),
        ),
        (
            "leader killed to a write acknowledged, ms",
            all(&rounds.failovers, |lost| {
                (lost.how == Loss::Killed).then_some(lost.ms)
            }),
        ),
        (
            "leader silent to a write acknowledged, ms",
            all(&rounds.failovers, |lost| {
                (lost.how == Loss::Silent).then_some(lost.ms)
            }),
        ),
    ] {
        add(&mut table, what, all);
    }
    for (filling, live_bytes) in rounds.fillings() {
        let Filling { writes, keys } = filling;
        let after = format!(
            "after {writes} writes to {keys} keys ({:.0} MiB live)",
            mib(live_bytes)
        );
        let of = |bytes: fn(&Memory) -> u64| {
            all(&rounds.memory, move |memory| {
                (memory.filling == filling).then(|| mib(bytes(memory)))
            })
        };
        for (what, all) in [
            ("memory", of(|memory| memory.rss_bytes)),
            ("disk", of(|memory| memory.disk_bytes)),
        ] {
            let what = format!("{what} of the largest node {after}, MiB");
            add(&mut table, &what, all);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A line for each system.
fn add(table: &mut Table, what: &str, all: Vec<(System, Spread, usize)>) {
    for (system, spread, times) in all {
        table.add_row([
            what.to_owned(),
            system.to_string(),
            format!("{:.0}", spread.median),
            format!("{:.0}", spread.min),
            format!("{:.0}", spread.max),
            times.to_string(),
        ]);
    }
}

/// A figure of each system over all its turns, and how many there were.
pub(crate) fn all<T>(
    turns: &[Turn<T>],
    of: impl Fn(&T) -> Option<f64>,
) -> Vec<(System, Spread, usize)> {
    let mut by_system: Vec<(System, Vec<f64>)> = Vec::new();
    for turn in turns {
        let Some(figure) = of(&turn.figures) else {
            continue;
        };
        match by_system
            .iter_mut()
            .find(|(system, _)| *system == turn.system)
        {
            Some((_, figures)) => figures.push(figure),
            None => by_system.push((turn.system, vec![figure])),
        }
    }
    let each = by_system.into_iter().filter_map(|(system, figures)| {
        let times = figures.len();
        Some((system, Spread::of(figures)?, times))
    });
    each.collect()
}

fn table(rounds: &Rounds) -> Table {
    let first = rounds.systems.first().map(|taken| taken.system);
    let ratio = first.map_or("ratio".to_owned(), |first| {
        format!("{first} / this, by round")
    });
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header([
        "operation",
        "clients",
        "system",
        "per second",
        "min",
        "max",
        "p50 ms",
        "p99 ms",
        "node CPU us/op",
        "client CPU us/op",
        "errors",
        &ratio,
    ]);
    for cell in rounds.cells() {
        for taken in &rounds.systems {
            if let Some(row) = row(rounds, cell, taken.system, first) {
                table.add_row(row);
            }
        }
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(rounds: &Rounds, cell: Cell, system: System, first: Option<System>) -> Option<[String; 12]> {
    let figures = rounds.of(system, cell);
    let rates = spread(&figures, |one| Some(one.per_second))?;
    let (operation, clients, rate) = cell;
    let clients = match (clients, rate) {
        (Some(clients), _) => clients.to_string(),
        (None, rate) => format!("{}/s", rate.unwrap_or_default()),
    };
    let whole = |rate: f64| format!("{rate:.0}");
    let median = |of: fn(&Figures) -> Option<f64>, digits: usize| {
        let spread = spread(&figures, of);
        spread.map_or(String::new(), |spread| {
            format!("{:.digits$}", spread.median)
        })
    };
    let errors: u64 = figures.values().map(|one| one.errors).sum();
    Some([
        operation.to_string(),
        clients,
        system.to_string(),
        whole(rates.median),
        whole(rates.min),
        whole(rates.max),
        median(|one| Some(one.p50_us as f64 / 1000.0), 2),
        median(|one| Some(one.p99_us as f64 / 1000.0), 2),
        median(|one| one.node_cpu_us, 1),
        median(|one| one.client_cpu_us, 1),
        errors.to_string(),
        ratios(
            &figures,
            first
                .filter(|first| *first != system)
                .map(|first| rounds.of(first, cell)),
        ),
    ])
}

/// By how much the first system was ahead, in each round that both took part in.
fn ratios(figures: &BTreeMap<usize, &Figures>, first: Option<BTreeMap<usize, &Figures>>) -> String {
    let first = first.unwrap_or_default();
    let each = figures.iter().filter_map(|(round, one)| {
        let ahead = first.get(round)?.per_second / one.per_second;
        Some(format!("{ahead:.2}"))
    });
    each.collect::<Vec<_>>().join(" ")
}

/// The middle of several figures, and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<_> = figures.into_iter().collect();
        all.sort_by(f64::total_cmp);
        let (min, max) = (*all.first()?, *all.last()?);
        let upper = all.len() / 2;
        let median = match all.len() % 2 {
            0 => (all[upper - 1] + all[upper]) / 2.0,
            _ => all[upper],
        };
        Some(Spread { min, median, max })
    }
}

/// A figure of one system's rounds.
pub(crate) fn spread(
    figures: &BTreeMap<usize, &Figures>,
    of: impl Fn(&Figures) -> Option<f64>,
) -> Option<Spread> {
    Spread::of(figures.values().filter_map(|one| of(one)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::parts::Failover;
    use crate::rounds::{Machine, Skipped, Taken};
    use crate::systems::Found;

    fn figures(per_second: f64) -> Figures {
        serde_json::from_value(serde_json::json!({
            "operation": "put", "clients": 64, "rate": null, "seconds": 1.0, "operations": 1,
            "per_second": per_second, "errors": 1, "first_error": null, "p50_us": 1500,
            "p90_us": 1, "p99_us": 2500, "p999_us": 1, "max_us": 1, "node_cpu_us": 20.0,
            "client_cpu_us": null, "fsyncs_per_second": null, "entries_per_fsync": null,
            "rss_bytes": []
        }))
        .expect("the figures are complete")
    }

    fn rounds(rates: &[(f64, Option<f64>)]) -> Rounds {
        let turn = |system, rate| Turn {
            system,
            figures: vec![figures(rate)],
        };
        let rounds = rates.iter().map(|(ours, theirs)| {
            let theirs = theirs.map(|theirs| turn(System::Etcd, theirs));
            [turn(System::Braft, *ours)]
                .into_iter()
                .chain(theirs)
                .collect()
        });
        let taken = |system| Taken {
            system,
            found: Found {
                version: "1".to_owned(),
                differs: "nothing",
            },
        };
        Rounds {
            machine: Machine {
                cpus: 2,
                system: "Linux".to_owned(),
                data_below: PathBuf::from("/tmp"),
            },
            value_bytes: 256,
            seconds: 1.0,
            connections: 1,
            systems: vec![taken(System::Braft), taken(System::Etcd)],
            skipped: vec![Skipped {
                system: System::Hiqlite,
                why: "not built".to_owned(),
            }],
            floors: vec![Floor {
                sync_us: 300.0,
                round_trip_us: 100.0,
            }],
            load: rounds.collect(),
            starts: Vec::new(),
            failovers: [10.0, 40.0, 20.0].map(killed).into(),
            memory: Vec::new(),
        }
    }

    #[test]
    fn ratios_are_those_of_each_round_and_not_of_the_medians() {
        let rounds = rounds(&[(100.0, Some(50.0)), (300.0, Some(100.0)), (200.0, None)]);
        let cell = rounds.cells()[0];
        let ours = row(&rounds, cell, System::Braft, Some(System::Braft)).expect("it took part");
        let theirs = row(&rounds, cell, System::Etcd, Some(System::Braft)).expect("so did it");
        assert_eq!(ours[3..6], ["200", "100", "300"]);
        assert_eq!(ours[11], "");
        assert_eq!(theirs[3..6], ["75", "50", "100"]);
        assert_eq!(theirs[6..10], ["1.50", "2.50", "20.0", ""]);
        assert_eq!(theirs[10..], ["2", "2.00 3.00"]);
    }

    fn killed(ms: f64) -> Turn<Failover> {
        let how = Loss::Killed;
        Turn {
            system: System::Etcd,
            figures: Failover { how, ms },
        }
    }

    #[test]
    fn the_other_parts_have_their_medians() {
        let rounds = rounds(&[(100.0, Some(50.0))]);
        let killed = all(&rounds.failovers, |lost| Some(lost.ms));
        let spread = Spread {
            min: 10.0,
            median: 20.0,
            max: 40.0,
        };
        assert_eq!(killed, [(System::Etcd, spread, 3)]);
        let silent = |lost: &Failover| (lost.how == Loss::Silent).then_some(lost.ms);
        assert_eq!(all(&rounds.failovers, silent), []);
    }

    #[test]
    fn a_lone_client_is_set_against_the_floor_of_its_round() {
        let mut rounds = rounds(&[(100.0, None)]);
        rounds.load[0][0].figures[0].clients = Some(1);
        // 1,500 us, where a sync and two round trips take 500.
        let text = floor(&rounds);
        assert!(
            text.contains("braft, p50 of one client: 3.00 times that"),
            "{text}"
        );
    }

    #[test]
    fn what_was_skipped_is_said_with_its_reason() {
        let text = text(&rounds(&[(100.0, Some(50.0))]));
        assert!(text.contains("hiqlite skipped: not built"), "{text}");
        assert!(text.contains("etcd 1: nothing"), "{text}");
    }
}
