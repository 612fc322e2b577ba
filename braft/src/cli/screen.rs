//! Where output goes: results to one side, what a person should know to the other.

use std::fmt::{self, Display};
use std::io::{self, BufRead, IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::failure::Failure;

/// What a command line writes to, and whether a person sits before it.
pub struct Screen {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// Whether there is a terminal: for progress, and for questions.
    is_terminal: bool,
    pub(super) json: bool,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen")
            .field("is_terminal", &self.is_terminal)
            .finish_non_exhaustive()
    }
}

impl Screen {
    /// The standard streams of this process.
    pub fn of_process() -> Self {
        Screen {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            is_terminal: io::stderr().is_terminal() && io::stdin().is_terminal(),
            json: false,
        }
    }

    /// Results go to `out`, everything else to `err`, and nobody can be asked.
    pub fn new(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Self {
        Screen {
            out: Box::new(out),
            err: Box::new(err),
            is_terminal: false,
            json: false,
        }
    }

    /// Prints a result.
    // Whoever reads may have gone away, as `head` does: that is no error of the command.
    pub(super) fn say(&mut self, text: impl Display) {
        drop(writeln!(self.out, "{text}"));
    }

    /// Prints a result as JSON, if that is wanted.
    pub(super) fn say_json(&mut self, value: &impl Serialize) -> bool {
        if self.json {
            let text =
                serde_json::to_string_pretty(value).expect("names and numbers have a JSON form");
            self.say(text);
        }
        self.json
    }

    /// Tells what comes beside the result; not to programs.
    pub(super) fn hint(&mut self, text: impl Display) {
        if !self.json {
            drop(writeln!(self.err, "{text}"));
        }
    }

    pub(super) fn tell(&mut self, text: impl Display) {
        drop(write!(self.err, "{text}"));
    }

    pub(super) fn fail(&mut self, failure: &Failure) {
        let text = failure.text();
        let text = if self.json {
            let error = serde_json::json!({ "error": text, "code": failure.code() });
            format!("{error}\n")
        } else {
            format!("braft: {text}\n")
        };
        self.tell(text);
    }

    /// Asks for a word, and whether that was the answer. `None` if nobody can be asked.
    pub(super) fn ask(&mut self, question: &str, word: &str) -> Option<bool> {
        if !self.is_terminal {
            return None;
        }
        drop(write!(self.err, "{question} Type {word:?} to go on: "));
        drop(self.err.flush());
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        Some(read.is_ok() && answer.trim() == word)
    }

    /// A bar for this many bytes, if somebody can see it.
    pub(super) fn bar(&self, what: &'static str, bytes: u64) -> Bar {
        if !self.is_terminal || self.json {
            return Bar(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(bytes);
        let style = ProgressStyle::with_template(
            "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        );
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_prefix(what);
        Bar(bar)
    }
}

/// A bar that is gone when it is dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Columns with a head; those without any content are left out. The numbered ones are aligned to the
/// right.
pub(super) fn table<const N: usize>(
    head: [&str; N],
    right: &[usize],
    rows: &[[String; N]],
) -> String {
    let used = |column: &usize| rows.iter().any(|row| !row[*column].is_empty());
    let columns: Vec<_> = (0..N).filter(used).collect();
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(columns.iter().map(|column| head[*column]));
    for row in rows {
        table.add_row(columns.iter().map(|column| &row[*column]));
    }
    for (place, column) in columns.iter().enumerate() {
        if let Some(shown) = table.column_mut(place) {
            shown.set_padding((0, 2));
            if right.contains(column) {
                shown.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    lines(&table.to_string())
}

/// Names and what they stand for, one below the other; without a name, what belongs to the last.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = facts
        .iter()
        .map(|(name, fact)| format!("{name:width$}  {fact}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn lines(text: &str) -> String {
    let lines = text.lines().map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n")
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let counted = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counted, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_column_without_content_is_left_out() {
        let rows = [
            ["a".to_owned(), String::new(), "10".to_owned()],
            ["long".to_owned(), String::new(), "9".to_owned()],
        ];
        let shown = table(["NAME", "NOTE", "COUNT"], &[2], &rows);
        assert_eq!(shown, "NAME  COUNT\na        10\nlong      9");
    }
}
