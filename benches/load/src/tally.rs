//! What the operations of one run came to.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time that is told apart from longer ones.
const MAX_MICROS: u64 = 600_000_000;
/// Two significant digits: a value is off by 1 % at most.
const DIGITS: u8 = 2;

/// Times and errors; those of several clients add up.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Microseconds of the operations that succeeded.
    pub(crate) micros: Histogram<u64>,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

impl Default for Tally {
    fn default() -> Self {
        let micros = Histogram::new_with_bounds(1, MAX_MICROS, DIGITS);
        Tally {
            micros: micros.expect("the bounds are in order"),
            errors: 0,
            first_error: None,
        }
    }
}

impl Tally {
    pub(crate) fn add(&mut self, took: Duration, result: Result<(), String>) {
        match result {
            Ok(()) => {
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.micros.saturating_record(micros.max(1));
            }
            Err(text) => {
                self.errors += 1;
                self.first_error.get_or_insert(text);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Tally) {
        let added = self.micros.add(other.micros);
        added.expect("all histograms have the same bounds");
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_the_first_error_is_kept() {
        let (mut one, mut two) = (Tally::default(), Tally::default());
        one.add(Duration::from_millis(1), Ok(()));
        two.add(Duration::from_secs(100_000), Ok(()));
        two.add(Duration::ZERO, Err("first".to_owned()));
        two.add(Duration::ZERO, Err("second".to_owned()));
        one.merge(two);
        assert_eq!((one.micros.len(), one.errors), (2, 2));
        assert_eq!(one.first_error.as_deref(), Some("first"));
        assert!(one.micros.max() >= MAX_MICROS);
    }
}
