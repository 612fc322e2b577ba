//! A failed check as a picture: one page of HTML, without anything from outside.

use std::fmt::Write as _;
use std::time::Duration;

use super::story::{Story, client, kind, outcome};

/// The narrowest bar of a call.
const MIN_WIDTH: f64 = 2.0;
/// Width of a second, in pixels.
const SECOND: f64 = 600.0;
const LANE: usize = 26;
const LEFT: f64 = 60.0;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2430;--paper:#fff;--quiet:#8a93a3;--command:#3b6fd4;\
--query:#2f9e75;--failed:#d08a1e;--broken:#d4293f;--fault:#a23bb8}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ef;--paper:#14181f;--quiet:#737d8e;\
--command:#6f9bf0;--query:#56c79a;--failed:#e6ab4c;--broken:#ff5a6e;--fault:#d57be8}}\
body{font:14px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2rem}\
pre{white-space:pre-wrap}.scroll{overflow-x:auto}text{fill:var(--ink);font-size:12px}\
.command{fill:var(--command)}.query{fill:var(--query)}.failed{fill:var(--failed)}\
.broken{stroke:var(--broken);stroke-width:3}.fault{stroke:var(--fault);stroke-dasharray:4 3}\
.fault-text{fill:var(--fault)}.tick{stroke:var(--quiet);opacity:.3}\
li span{display:inline-block;width:1em;height:.8em;margin-right:.4em}ul{list-style:none;padding:0}";

/// The page.
pub(super) fn html(story: &Story) -> String {
    let mut page = String::new();
    let title = format!("{} (seed {})", escape(story.service), story.seed);
    let _ = write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1><pre>{}</pre><ul>",
        escape(&story.violation.text)
    );
    for (color, text) in [
        ("command", "command"),
        ("query", "query"),
        ("failed", "call that failed"),
        ("broken", "call that shows what broke (outlined)"),
        ("fault", "fault"),
    ] {
        let _ = write!(
            page,
            "<li><span style=\"background:var(--{color})\"></span>{text}</li>"
        );
    }
    page.push_str("</ul><p>Point at a bar for the call and its answer.</p><div class=scroll>");
    svg(story, &mut page);
    page.push_str("</div></html>");
    page
}

fn x(time: Duration) -> f64 {
    LEFT + time.as_secs_f64() * SECOND
}

fn svg(story: &Story, page: &mut String) {
    let lanes = lanes(story);
    let rows = lanes.iter().map(|(_, row)| row + 1).max().unwrap_or(0);
    let end = story.operations.iter().map(|operation| operation.ended);
    let end = end
        .chain(story.events.iter().map(|event| event.at))
        .max()
        .unwrap_or_default();
    let events = story.events.len();
    let (width, top) = (x(end) + 300.0, 30 + events * 16);
    let height = top + rows * LANE + 20;
    let _ = write!(
        page,
        "<svg width={width:.0} height={height} role=img aria-label=\"timeline\">"
    );
    for tick in 0..=end.as_secs() * 10 + 10 {
        let at = Duration::from_millis(tick * 100);
        let at_x = x(at);
        let _ = write!(
            page,
            "<line class=tick x1={at_x:.1} x2={at_x:.1} y1=16 y2={height} />"
        );
        if tick % 5 == 0 {
            let _ = write!(
                page,
                "<text x={at_x:.1} y=12>{:.1} s</text>",
                at.as_secs_f64()
            );
        }
    }
    for (row, event) in story.events.iter().enumerate() {
        let (at_x, y) = (x(event.at), 30 + row * 16);
        let _ = write!(
            page,
            "<line class=fault x1={at_x:.1} x2={at_x:.1} y1={y} y2={height} />\
             <text class=fault-text x={:.1} y={}>{}</text>",
            at_x + 3.0,
            y + 4,
            escape(&event.text)
        );
    }
    for (at, row) in lanes {
        let operation = &story.operations[at];
        let class = match (&operation.result, operation.read) {
            (Err(_), _) => "failed",
            (Ok(_), None) => "command",
            (Ok(_), Some(_)) => "query",
        };
        let broken = if story.violation.operations.contains(&at) {
            " broken"
        } else {
            ""
        };
        let left = x(operation.began);
        let width = (x(operation.ended) - left).max(MIN_WIDTH);
        let place = match story.places[at] {
            None => String::new(),
            Some((index, u64::MAX)) => format!(", sees log index {index}"),
            Some((index, ordinal)) => format!(", at log index {index}.{ordinal}"),
        };
        let _ = write!(
            page,
            "<rect class=\"{class}{broken}\" x={left:.1} y={} width={width:.1} height={} rx=2>\
             <title>client {}, {}\n{}\n-> {}{place}</title></rect>",
            top + row * LANE,
            LANE - 8,
            client(operation.client),
            kind(operation),
            escape(&operation.text),
            escape(&outcome(operation)),
        );
    }
    page.push_str("</svg>");
}

/// Each operation with its row: those of a client that overlap are below each other.
fn lanes(story: &Story) -> Vec<(usize, usize)> {
    let mut order: Vec<_> = (0..story.operations.len()).collect();
    order.sort_by_key(|at| (story.operations[*at].client, story.operations[*at].began));
    // The end of the last call of each row, and the client that has the row.
    let mut rows: Vec<(usize, Duration)> = Vec::new();
    order
        .into_iter()
        .map(|at| {
            let operation = &story.operations[at];
            let free = |(client, end): &(usize, Duration)| {
                *client == operation.client && *end <= operation.began
            };
            let row = rows.iter().position(free).unwrap_or_else(|| {
                rows.push((operation.client, Duration::ZERO));
                rows.len() - 1
            });
            rows[row].1 = operation.ended;
            (at, row)
        })
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
