//! The figures as a picture: one small chart for each, a bar for each system, with its range.

use std::path::Path;

use load::{Figures, Operation};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::parts::Loss;
use crate::report::{Spread, all, spread};
use crate::rounds::{Cell, Rounds};
use crate::systems::System;

const CHART_WIDTH: u32 = 460;
const BAR_HEIGHT: i32 = 22;
const BAR_GAP: i32 = 8;
const TITLE_HEIGHT: i32 = 40;
/// Left of the bars: the names; right of them: the figures.
const NAME_WIDTH: i32 = 90;
const FIGURE_WIDTH: i32 = 80;
const COLUMNS: usize = 2;
const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(110, 116, 126);

/// One chart.
struct Chart {
    title: String,
    digits: usize,
    bars: Vec<(System, Spread)>,
}

/// Draws the figures into a file.
///
/// # Errors
/// If nothing can be drawn, or the file cannot be written.
pub(crate) fn write(rounds: &Rounds, path: &Path) -> Result<(), String> {
    let charts: Vec<_> = charts(rounds)
        .into_iter()
        .filter(|chart| !chart.bars.is_empty())
        .collect();
    let named = |error: String| format!("the picture {}: {error}", path.display());
    draw(&charts, path).map_err(|error| named(error.to_string()))
}

fn charts(rounds: &Rounds) -> Vec<Chart> {
    let of_load = |title: &str, digits, cell: Cell, of: fn(&Figures) -> Option<f64>| {
        let each = rounds.systems.iter().filter_map(|taken| {
            let figures = rounds.of(taken.system, cell);
            Some((taken.system, spread(&figures, of)?))
        });
        Chart {
            title: title.to_owned(),
            digits,
            bars: each.collect(),
        }
    };
    let of_rest = |title: &str, digits, figures: Vec<(System, Spread, usize)>| Chart {
        title: title.to_owned(),
        digits,
        bars: figures
            .into_iter()
            .map(|(system, spread, _)| (system, spread))
            .collect(),
    };
    let many = |operation| (operation, Some(256), None);
    let alone = (Operation::Put, Some(1), None);
    let mut charts = vec![
        of_load(
            "Writes per second, 256 clients",
            0,
            many(Operation::Put),
            |one| Some(one.per_second),
        ),
        of_load(
            "Linearizable reads per second, 256 clients",
            0,
            many(Operation::Get),
            |one| Some(one.per_second),
        ),
        of_load(
            "One client: half of its writes within, ms",
            2,
            alone,
            |one| Some(one.p50_us as f64 / 1000.0),
        ),
        of_load(
            "256 clients: 99 of 100 writes within, ms",
            1,
            many(Operation::Put),
            |one| Some(one.p99_us as f64 / 1000.0),
        ),
        of_load(
            "CPU of the nodes for a write, us",
            0,
            many(Operation::Put),
            |one| one.node_cpu_us,
        ),
        of_rest(
            "Leader killed: next write after, ms",
            0,
            all(&rounds.failovers, |lost| {
                (lost.how == Loss::Killed).then_some(lost.ms)
            }),
        ),
    ];
    for (filling, _) in rounds.fillings() {
        let [writes, keys] =
            [filling.writes, filling.keys].map(|number| thousands(&number.to_string()));
        let title = format!("Memory after {writes} writes to {keys} keys, MiB");
        let bars = all(&rounds.memory, |memory| {
            let mib = memory.rss_bytes as f64 / f64::from(1 << 20);
            (memory.filling == filling).then_some(mib)
        });
        charts.push(of_rest(&title, 0, bars));
    }
    charts
}

fn draw(charts: &[Chart], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let height = |chart: &Chart| {
        let bars = i32::try_from(chart.bars.len()).unwrap_or(i32::MAX);
        TITLE_HEIGHT + bars * (BAR_HEIGHT + BAR_GAP) + BAR_GAP
    };
    let rows: Vec<_> = charts.chunks(COLUMNS).collect();
    let heights: Vec<_> = rows
        .iter()
        .map(|row| row.iter().map(height).max().unwrap_or(0))
        .collect();
    let size = (
        CHART_WIDTH * COLUMNS as u32,
        u32::try_from(heights.iter().sum::<i32>())?,
    );
    let area = SVGBackend::new(path, size).into_drawing_area();
    // A page may be dark.
    area.fill(&WHITE)?;
    let mut top = 0;
    for (row, height) in rows.iter().zip(&heights) {
        for (column, chart) in row.iter().enumerate() {
            let left = i32::try_from(column as u32 * CHART_WIDTH)?;
            draw_chart(chart, (left, top), &area)?;
        }
        top += height;
    }
    area.present()?;
    Ok(())
}

fn draw_chart(
    chart: &Chart,
    (left, top): (i32, i32),
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
) -> Result<(), Box<dyn std::error::Error>> {
    let title = ("sans-serif", 16).into_font().color(&INK);
    area.draw_text(&chart.title, &title, (left + 12, top + 14))?;
    let room = f64::from(i32::try_from(CHART_WIDTH)? - NAME_WIDTH - FIGURE_WIDTH - 24);
    let most = chart.bars.iter().map(|(_, spread)| spread.max);
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    let start = left + 12 + NAME_WIDTH;
    let at = |figure: f64| start + (figure / most * room).round() as i32;
    let text = |position: HPos, color: &RGBColor| {
        let style = ("sans-serif", 14).into_font().color(color);
        style.pos(Pos::new(position, VPos::Center))
    };
    for (number, (system, spread)) in chart.bars.iter().enumerate() {
        let number = i32::try_from(number)?;
        let above = top + TITLE_HEIGHT + number * (BAR_HEIGHT + BAR_GAP);
        let middle = above + BAR_HEIGHT / 2;
        let name = text(HPos::Right, &INK);
        area.draw_text(&system.to_string(), &name, (start - 8, middle))?;
        let bar = [(start, above), (at(spread.median), above + BAR_HEIGHT)];
        area.draw(&Rectangle::new(bar, color_of(*system).filled()))?;
        if spread.min < spread.max {
            let range = [(at(spread.min), middle), (at(spread.max), middle)];
            area.draw(&PathElement::new(range, FAINT.stroke_width(2)))?;
        }
        let figure = thousands(&format!("{:.*}", chart.digits, spread.median));
        let end = at(spread.max).max(at(spread.median)) + 6;
        area.draw_text(&figure, &text(HPos::Left, &FAINT), (end, middle))?;
    }
    Ok(())
}

fn color_of(system: System) -> RGBColor {
    match system {
        System::Braft => RGBColor(47, 111, 222),
        System::Etcd => RGBColor(120, 160, 190),
        System::PySyncObj => RGBColor(190, 170, 110),
        System::Hiqlite => RGBColor(160, 140, 180),
    }
}

/// "12345" as "12,345".
fn thousands(number: &str) -> String {
    let (whole, rest) = match number.split_once('.') {
        Some((whole, rest)) => (whole, format!(".{rest}")),
        None => (number, String::new()),
    };
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_parted() {
        assert_eq!(thousands("123"), "123");
        assert_eq!(thousands("1234"), "1,234");
        assert_eq!(thousands("1234567.50"), "1,234,567.50");
    }

    #[test]
    fn a_chart_has_a_bar_for_each_system() {
        let spread = |median| Spread {
            min: median,
            median,
            max: median * 1.5,
        };
        let chart = Chart {
            title: "Writes".to_owned(),
            digits: 0,
            bars: vec![
                (System::Braft, spread(5000.0)),
                (System::Etcd, spread(100.0)),
            ],
        };
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        draw(&[chart], file.path()).expect("it is drawn");
        let text = std::fs::read_to_string(file.path()).expect("it is there");
        for part in ["Writes", "braft", "etcd", "5,000"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
