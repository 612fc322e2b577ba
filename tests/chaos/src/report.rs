//! What a run came to, as a table.

use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::fault::Fault;
use crate::nemesis::Outcome;
use crate::tools::Tools;
use crate::verdict::longest_gap;

/// One line for each fault; `acknowledged` is when writes were acknowledged, in order.
pub(crate) fn table(outcome: &Outcome, faults: &[Fault], acknowledged: &[Duration]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header([
        "fault",
        "times",
        "seconds, all together",
        "nodes that stopped by themselves",
        "longest time without a write, s",
    ]);
    for fault in faults {
        let done = outcome.done.iter().filter(|done| done.fault == *fault);
        let (mut times, mut lasted, mut worst) = (0, Duration::ZERO, Duration::ZERO);
        for done in done {
            times += 1;
            lasted += done.ended.saturating_sub(done.began);
            worst = worst.max(longest_gap(acknowledged, done.began, done.ended));
        }
        if times == 0 {
            continue;
        }
        let stopped = outcome.stopped.get(fault).copied();
        table.add_row([
            fault.to_string(),
            times.to_string(),
            format!("{:.0}", lasted.as_secs_f64()),
            stopped.map(|count| count.to_string()).unwrap_or_default(),
            format!("{:.2}", worst.as_secs_f64()),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// Faults that came and did not count, for nothing came of them.
pub(crate) fn idle(outcome: &Outcome) -> String {
    let lines = outcome.idle.iter();
    lines
        .map(|(fault, times)| format!("not counted: {fault}, {times} times: nothing came of it\n"))
        .collect()
}

/// What was left out, and why.
pub(crate) fn skipped(tools: &Tools) -> String {
    let lines = tools.missing.iter();
    lines
        .map(|(fault, why)| format!("skipped: {fault}: {why}\n"))
        .collect()
}

/// The faults that came too seldom for the run to say much.
pub(crate) fn too_seldom(outcome: &Outcome, faults: &[Fault], least: usize) -> Vec<Fault> {
    let times = |fault: &Fault| {
        let done = outcome.done.iter().filter(|done| done.fault == *fault);
        done.count()
    };
    let seldom = faults.iter().filter(|fault| times(fault) < least);
    seldom.copied().collect()
}
