//! The figures of several runs, for people and for programs.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::figures::Figures;

const HEAD: [&str; 15] = [
    "operation",
    "clients",
    "per second",
    "errors",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "node CPU us/op",
    "client CPU us/op",
    "fsyncs/s",
    "entries/fsync",
    "RSS MiB, largest node",
    "first error",
];

/// One line for each run. Columns without any figure are left out.
pub fn table(figures: &[Figures]) -> String {
    let rows: Vec<_> = figures.iter().map(row).collect();
    let used = |column: usize| rows.iter().any(|row| !row[column].is_empty());
    let columns: Vec<_> = (0..HEAD.len()).filter(|column| used(*column)).collect();
    let mut table = Table::new();
    table
        .load_preset(UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(columns.iter().map(|column| HEAD[*column]));
    for row in &rows {
        table.add_row(columns.iter().map(|column| &row[*column]));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn row(one: &Figures) -> [String; HEAD.len()] {
    let clients = match (one.clients, one.rate) {
        (Some(clients), _) => clients.to_string(),
        (None, Some(rate)) => format!("{rate}/s"),
        (None, None) => String::new(),
    };
    let ms = |micros: u64| format!("{:.2}", micros as f64 / 1000.0);
    let or_nothing = |figure: Option<f64>| figure.map(|n| format!("{n:.1}")).unwrap_or_default();
    let largest = one.rss_bytes.iter().max();
    [
        one.operation.to_string(),
        clients,
        format!("{:.0}", one.per_second),
        one.errors.to_string(),
        ms(one.p50_us),
        ms(one.p90_us),
        ms(one.p99_us),
        ms(one.p999_us),
        ms(one.max_us),
        or_nothing(one.node_cpu_us),
        or_nothing(one.client_cpu_us),
        or_nothing(one.fsyncs_per_second),
        or_nothing(one.entries_per_fsync),
        largest
            .map(|bytes| format!("{:.0}", *bytes as f64 / f64::from(1 << 20)))
            .unwrap_or_default(),
        one.first_error.clone().unwrap_or_default(),
    ]
}

/// The figures as a JSON array.
pub fn json(figures: &[Figures]) -> String {
    serde_json::to_string_pretty(figures).expect("figures are plain data")
}
