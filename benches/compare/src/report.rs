//! The rounds as text: what took part, and how it compares.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use load::Figures;

use crate::cluster::NODES;
use crate::rounds::{Cell, Rounds};
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
    let _ = writeln!(out, "\n{}", table(rounds));
    out
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

/// The middle of several rounds, and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

fn spread(
    figures: &BTreeMap<usize, &Figures>,
    of: impl Fn(&Figures) -> Option<f64>,
) -> Option<Spread> {
    let mut all: Vec<_> = figures.values().filter_map(|one| of(one)).collect();
    all.sort_by(f64::total_cmp);
    let (min, max) = (*all.first()?, *all.last()?);
    let upper = all.len() / 2;
    let median = match all.len() % 2 {
        0 => (all[upper - 1] + all[upper]) / 2.0,
        _ => all[upper],
    };
    Some(Spread { min, median, max })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::rounds::{Machine, Skipped, Taken, Turn};
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
            rounds: rounds.collect(),
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

    #[test]
    fn what_was_skipped_is_said_with_its_reason() {
        let text = text(&rounds(&[(100.0, Some(50.0))]));
        assert!(text.contains("hiqlite skipped: not built"), "{text}");
        assert!(text.contains("etcd 1: nothing"), "{text}");
    }
}
