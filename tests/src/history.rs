//! A recorded history of a counter, and whether a single copy could have given these answers.
//!
//! Each increment adds one and returns the total, so the total it returned is its place in the order
//! of all increments. That makes the check exact and quick: a history is linearizable if and only if
//! no operation contradicts one that had ended before it began, and no total was seen before as many
//! increments had begun. (Gibbons and Korach, "Testing shared memories", 1997: with the order of
//! the writes known, checking takes no search.)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use braft::ReadLevel;

/// What operations of several clients saw, in any order.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<Operation>>);

#[derive(Clone, Copy, Debug)]
struct Operation {
    client: u64,
    /// `None` for an increment.
    read: Option<ReadLevel>,
    began: Instant,
    ended: Instant,
    /// The total it saw; `None` if it may or may not have happened.
    total: Option<u64>,
}

impl Operation {
    /// Whether it has to be in the one order that all agree on.
    fn is_strict(&self) -> bool {
        match self.read {
            None => true,
            Some(level) => matches!(
                level,
                ReadLevel::Linearizable | ReadLevel::Lease | ReadLevel::Follower
            ),
        }
    }
}

/// What a history holds.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Operations with an answer, by kind.
    pub answered: BTreeMap<&'static str, u64>,
    /// Increments that may or may not have happened.
    pub unknown: u64,
    /// Local reads that missed an increment acknowledged before they began.
    pub stale: u64,
}

impl Report {
    /// All operations with an answer.
    pub fn operations(&self) -> u64 {
        self.answered.values().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations:", self.operations())?;
        for (kind, count) in &self.answered {
            write!(f, " {count} {kind},")?;
        }
        let (unknown, stale) = (self.unknown, self.stale);
        write!(
            f,
            " {unknown} increments unknown, {stale} local reads stale"
        )
    }
}

impl History {
    /// Takes note of an operation that ends now; `total` is `None` for an increment that may or may
    /// not have happened. One that surely did not happen is not noted.
    pub fn note(&self, client: u64, read: Option<ReadLevel>, began: Instant, total: Option<u64>) {
        let ended = Instant::now();
        let mut operations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        operations.push(Operation {
            client,
            read,
            began,
            ended,
            total,
        });
    }

    /// Says what no single copy could have answered; `total` is that at the end.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self, total: u64) -> Result<Report, String> {
        let mut operations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        operations.sort_by_key(|operation| operation.began);
        let report = report(&operations);
        check_increments(&operations, total)?;
        check_not_ahead(&operations)?;
        check_real_time(operations.iter().filter(|one| one.is_strict()))?;
        let clients: BTreeSet<u64> = operations.iter().map(|one| one.client).collect();
        for client in clients {
            // What a client has seen, in whatever way, binds its reads of all levels but the local.
            let own = operations.iter().filter(|one| one.client == client);
            check_real_time(own)?;
        }
        Ok(Report {
            stale: stale(&operations),
            ..report
        })
    }
}

fn kind(read: Option<ReadLevel>) -> &'static str {
    match read {
        None => "increments",
        Some(ReadLevel::Linearizable) => "linearizable reads",
        Some(ReadLevel::Lease) => "lease reads",
        Some(ReadLevel::Follower) => "follower reads",
        Some(ReadLevel::Session) => "session reads",
        Some(_) => "local reads",
    }
}

fn report(operations: &[Operation]) -> Report {
    let mut report = Report::default();
    for operation in operations {
        match operation.total {
            Some(_) => *report.answered.entry(kind(operation.read)).or_default() += 1,
            None => report.unknown += 1,
        }
    }
    report
}

/// No two increments are the same one, and the total at the end is theirs.
fn check_increments(operations: &[Operation], total: u64) -> Result<(), String> {
    let increments = operations.iter().filter(|one| one.read.is_none());
    let (mut places, mut unknown) = (BTreeSet::new(), 0);
    for increment in increments {
        match increment.total {
            Some(place) if !places.insert(place) => {
                return Err(format!("two increments returned {place}: {increment:?}"));
            }
            Some(_) => {}
            None => unknown += 1,
        }
    }
    let acknowledged = places.len() as u64;
    if !(acknowledged..=acknowledged + unknown).contains(&total) {
        return Err(format!(
            "{total} at the end, after {acknowledged} acknowledged increments and {unknown} unknown"
        ));
    }
    match places.last() {
        Some(last) if *last > total => {
            Err(format!("{total} at the end, after {last} was returned"))
        }
        _ => Ok(()),
    }
}

/// Nobody saw more than had begun.
fn check_not_ahead(operations: &[Operation]) -> Result<(), String> {
    let began: Vec<Instant> = operations
        .iter()
        .filter(|one| one.read.is_none())
        .map(|one| one.began)
        .collect();
    for operation in operations {
        let begun = began.partition_point(|began| *began <= operation.ended) as u64;
        if operation.total.is_some_and(|total| total > begun) {
            return Err(format!(
                "a total was seen when only {begun} increments had begun: {operation:?}"
            ));
        }
    }
    Ok(())
}

/// Each sees at least what those saw that had ended before it began; an increment sees more.
/// Local reads are held to nothing, and bind those after them: their client has seen it.
fn check_real_time<'a>(operations: impl Iterator<Item = &'a Operation>) -> Result<(), String> {
    // In the order of their beginnings.
    let operations: Vec<_> = operations.filter(|one| one.total.is_some()).collect();
    let mut by_end = operations.clone();
    by_end.sort_by_key(|operation| operation.ended);
    let mut ended = by_end.into_iter().peekable();
    let mut last: Option<&Operation> = None;
    for operation in operations {
        while let Some(before) = ended.next_if(|before| before.ended < operation.began) {
            if last.is_none_or(|last| before.total > last.total) {
                last = Some(before);
            }
        }
        let Some(last) = last else { continue };
        let contradicts = match operation.read {
            None => operation.total <= last.total,
            Some(ReadLevel::Local | ReadLevel::LocalAtMost(_)) => false,
            Some(_) => operation.total < last.total,
        };
        if contradicts {
            return Err(format!("{operation:?} came after {last:?}"));
        }
    }
    Ok(())
}

/// Local reads that missed an increment acknowledged before they began.
fn stale(operations: &[Operation]) -> u64 {
    let mut acknowledged: Vec<_> = operations
        .iter()
        .filter(|one| one.read.is_none())
        .filter_map(|one| Some((one.ended, one.total?)))
        .collect();
    acknowledged.sort_unstable();
    let mut most = 0;
    let highest: Vec<u64> = acknowledged
        .iter()
        .map(|(_, total)| {
            most = most.max(*total);
            most
        })
        .collect();
    let is_stale = |one: &&Operation| {
        let before = acknowledged.partition_point(|(ended, _)| *ended < one.began);
        before > 0 && one.total.is_some_and(|total| total < highest[before - 1])
    };
    let local = operations
        .iter()
        .filter(|one| matches!(one.read, Some(ReadLevel::Local | ReadLevel::LocalAtMost(_))));
    local.filter(is_stale).count() as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Operations as (client, level, begin, end, total).
    type Row = (u64, Option<ReadLevel>, u64, u64, Option<u64>);

    fn history(rows: &[Row]) -> History {
        let zero = Instant::now();
        let operation = |(client, read, began, ended, total): &Row| Operation {
            client: *client,
            read: *read,
            began: zero + Duration::from_millis(*began),
            ended: zero + Duration::from_millis(*ended),
            total: *total,
        };
        History(Mutex::new(rows.iter().map(operation).collect()))
    }

    const READ: Option<ReadLevel> = Some(ReadLevel::Linearizable);
    const SESSION: Option<ReadLevel> = Some(ReadLevel::Session);
    const LOCAL: Option<ReadLevel> = Some(ReadLevel::Local);

    #[test]
    fn what_one_copy_could_have_answered_passes() {
        let rows = [
            (1, None, 0, 10, Some(1)),
            // Concurrent with the increment: may see either.
            (2, READ, 1, 9, Some(0)),
            (3, READ, 2, 9, Some(1)),
            (1, None, 11, 12, None),
            (2, READ, 13, 14, Some(2)),
            (3, LOCAL, 15, 16, Some(0)),
            (3, SESSION, 17, 18, Some(1)),
        ];
        let report = history(&rows).check(2).unwrap();
        assert_eq!(
            (report.operations(), report.unknown, report.stale),
            (6, 1, 1)
        );
    }

    #[test]
    fn a_stale_read_a_lost_and_a_doubled_increment_are_found() {
        let first = (1, None, 0, 1, Some(1));
        let stale_read = (2, READ, 2, 3, Some(0));
        assert!(history(&[first, stale_read]).check(1).is_err());
        let lost = (2, None, 2, 3, Some(1));
        assert!(history(&[first, lost]).check(1).is_err());
        // It happened twice: more is there than was asked for.
        assert!(history(&[first]).check(2).is_err());
        assert!(history(&[first]).check(0).is_err());
        let from_the_future = (2, LOCAL, 0, 1, Some(2));
        let later = (1, None, 2, 3, Some(2));
        assert!(history(&[first, later, from_the_future]).check(2).is_err());
    }

    #[test]
    fn a_session_may_be_behind_others_but_not_behind_itself() {
        let first = (1, None, 0, 1, Some(1));
        assert!(
            history(&[first, (2, SESSION, 2, 3, Some(0))])
                .check(1)
                .is_ok()
        );
        assert!(
            history(&[first, (1, SESSION, 2, 3, Some(0))])
                .check(1)
                .is_err()
        );
    }

    #[test]
    fn two_reads_in_a_row_do_not_go_back() {
        let unknown = (1, None, 0, 9, None);
        let rows = [unknown, (2, READ, 1, 2, Some(1)), (3, READ, 3, 4, Some(0))];
        assert!(history(&rows).check(1).is_err());
    }
}
