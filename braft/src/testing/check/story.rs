//! A failed check, told so that a person can follow it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::again;
use super::history::Operation;
use super::nemesis::Event;
use super::picture;
use super::readable::readable;
use super::twins::{self, Step};
use super::verdict::{Evidence, Place, places};
use super::violation::Violation;
use crate::call::ReadLevel;
use crate::service::Service;

/// Lines of a timeline; earlier ones are left out.
const MAX_LINES: usize = 40;
/// How far a timeline goes back before what it is about.
const BEFORE: Duration = Duration::from_millis(250);
/// Characters of a call or an answer.
const MAX_TEXT: usize = 100;

/// A check that failed.
pub(super) struct Story {
    pub(super) service: &'static str,
    pub(super) seed: u64,
    pub(super) operations: Vec<Operation>,
    pub(super) places: Vec<Option<Place>>,
    pub(super) events: Vec<Event>,
    pub(super) violation: Violation,
    /// The same without a cluster, where that shows it too, with as few steps as were found.
    pub(super) alone: Option<String>,
    /// How often the seed was played to find less that breaks the same, if it was.
    pub(super) replays: Option<usize>,
    /// What was broken when all of the seed was played, if that was told otherwise.
    pub(super) first: Option<String>,
}

impl Story {
    pub(super) fn new<S: Service>(
        seed: u64,
        evidence: Evidence,
        events: Vec<Event>,
        mut violation: Violation,
    ) -> Self {
        let places = places(&evidence);
        if let (true, Some(index)) = (violation.operations.is_empty(), violation.index) {
            let here = |at: &usize| places[*at].is_some_and(|place| place.0 == index);
            violation.operations = (0..places.len()).filter(here).collect();
        }
        let alone = without_cluster::<S>(seed, &evidence.operations, &places);
        Story {
            service: S::NAME,
            seed,
            operations: evidence.operations,
            places,
            events,
            violation,
            alone,
            replays: None,
            first: None,
        }
    }

    /// When the last of the calls that show it had ended; nothing if it shows otherwise.
    pub(super) fn shown_until(&self) -> Option<Duration> {
        let shown = self.violation.operations.iter();
        shown.map(|at| self.operations[*at].ended).max()
    }

    /// Draws the picture beside the test's program; where it is.
    pub(super) fn draw(&self) -> std::io::Result<PathBuf> {
        let program = std::env::current_exe()?;
        let beside = program.parent().and_then(|deps| deps.parent());
        let folder = beside.map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = folder.join("braft-check");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}-{}.html", self.service, self.seed));
        std::fs::write(&path, picture::html(self))?;
        Ok(path)
    }

    /// The lines of the timeline: what happened when.
    fn lines(&self) -> Vec<(Duration, String)> {
        let shown = self.violation.operations.iter();
        let from = shown.map(|at| self.operations[*at].began).min();
        let from = match (from, self.replays) {
            // All of it matters.
            (_, Some(_)) | (None, _) => Duration::ZERO,
            (Some(from), None) => from.saturating_sub(BEFORE),
        };
        let to = self.shown_until().unwrap_or(Duration::MAX);
        let within = |began: Duration, ended: Duration| began <= to && ended >= from;
        let events = self
            .events
            .iter()
            .filter(|event| within(event.at, event.at));
        let mut lines: Vec<_> = events
            .map(|event| {
                (
                    event.at,
                    format!("  {:9}            -- {}", ms(event.at), event.text),
                )
            })
            .collect();
        for (at, operation) in self.operations.iter().enumerate() {
            if within(operation.began, operation.ended) {
                lines.push((operation.began, self.line(at, operation)));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        let surplus = lines.len().saturating_sub(MAX_LINES);
        lines.drain(..surplus);
        lines
    }

    fn line(&self, at: usize, operation: &Operation) -> String {
        let mark = if self.violation.operations.contains(&at) {
            ">"
        } else {
            " "
        };
        let place = match self.places[at] {
            None => String::new(),
            Some((index, u64::MAX)) => format!("  sees {index}"),
            Some((index, ordinal)) => format!("  at {index}.{ordinal}"),
        };
        format!(
            "{mark} {:9} {:>9}  {}  {}  {} -> {}{place}",
            ms(operation.began),
            ms(operation.ended),
            client(operation.client),
            kind(operation),
            short(&operation.text),
            short(&outcome(operation)),
        )
    }
}

/// The commands in the order of the log, and the queries where they were answered, on one struct.
fn without_cluster<S: Service>(
    seed: u64,
    operations: &[Operation],
    places: &[Option<Place>],
) -> Option<String> {
    let mut placed: Vec<_> = (0..operations.len())
        .filter(|at| places[*at].is_some())
        .collect();
    placed.sort_by_key(|at| places[*at]);
    let steps = placed.into_iter().map(|at| {
        let operation = &operations[at];
        Step::new(
            operation.read.is_none(),
            operation.call.to_vec(),
            operation.text.clone(),
        )
    });
    let difference = twins::replay::<S>(steps.collect(), seed)?;
    Some(difference.timeline())
}

/// What a call came to.
pub(super) fn outcome(operation: &Operation) -> String {
    match &operation.result {
        Ok(answer) => readable(answer),
        Err(error) => format!("{:?} ({:?})", error.kind, error.outcome),
    }
}

/// What kind of call it was.
pub(super) fn kind(operation: &Operation) -> &'static str {
    match operation.read {
        None => "command",
        Some(ReadLevel::Linearizable) => "query",
        Some(ReadLevel::Lease) => "lease query",
        Some(ReadLevel::Follower) => "follower query",
        Some(ReadLevel::Session) => "session query",
        Some(ReadLevel::Local | ReadLevel::LocalAtMost(_)) => "local query",
    }
}

/// A client's name: a, b, c, ….
pub(super) fn client(number: usize) -> char {
    let letter = u8::try_from(number % 26).unwrap_or_default();
    char::from(b'a' + letter)
}

fn short(text: &str) -> String {
    if text.chars().count() <= MAX_TEXT {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX_TEXT).collect();
    short.push('…');
    short
}

fn ms(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, seed) = (self.service, self.seed);
        writeln!(
            f,
            "service {service} broke a promise on a cluster (seed {seed}):"
        )?;
        writeln!(f, "  {}", self.violation.text)?;
        if let Some(first) = &self.first {
            writeln!(f, "(when all of the seed was played: {first})")?;
        }
        if let Some(alone) = &self.alone {
            writeln!(f, "it shows without a cluster too, in these steps:")?;
            write!(f, "{alone}")?;
        } else {
            if let Some(replays) = self.replays {
                writeln!(
                    f,
                    "the fewest of its calls and faults that were found to break it ({replays} tries);"
                )?;
            }
            writeln!(
                f,
                "what happened (begin, end, client, call -> answer, place in the log):"
            )?;
            for (_, line) in self.lines() {
                writeln!(f, "{line}")?;
            }
        }
        match self.draw() {
            Ok(path) => writeln!(f, "picture: {}", path.display())?,
            Err(error) => writeln!(f, "no picture could be written: {error}")?,
        }
        write!(f, "{}", again(seed))
    }
}
