//! Durations, counted by their length.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The first bound is this power of two, in microseconds; each further one is twice the last.
const FIRST_POWER: u32 = 4;
/// From 16 us to 16.8 s, and one for what takes longer. A power of two is found without a search.
const BUCKETS: usize = 22;

/// Counts durations. Recording one is two additions.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_nanos: AtomicU64,
}

/// What a histogram has counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// By bucket, each without the ones before.
    pub(crate) buckets: [u64; BUCKETS],
    pub(crate) sum: Duration,
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos.div_ceil(1000))].fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            buckets: std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed)),
        }
    }
}

impl Counts {
    pub(crate) fn total(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Each bound in seconds, and how many durations were not longer.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut so_far = 0;
        let buckets = self.buckets.iter().enumerate();
        buckets.map(move |(at, count)| {
            so_far += count;
            (bound_seconds(at), so_far)
        })
    }

    /// Adds what another one has counted.
    pub(crate) fn add(&mut self, other: &Counts) {
        for (own, others) in self.buckets.iter_mut().zip(other.buckets) {
            *own += others;
        }
        self.sum += other.sum;
    }
}

fn bucket(micros: u64) -> usize {
    let power = u64::BITS - micros.saturating_sub(1).leading_zeros();
    let at = power.saturating_sub(FIRST_POWER) as usize;
    at.min(BUCKETS - 1)
}

/// The upper bound of a bucket; infinity for the last.
fn bound_seconds(at: usize) -> f64 {
    if at + 1 == BUCKETS {
        return f64::INFINITY;
    }
    (1_u64 << (at + FIRST_POWER as usize)) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_up_to_the_first_bound_that_is_not_shorter() {
        let histogram = Histogram::default();
        let micros = [0, 16, 17, 32, 1_000_000, 16_777_216, 16_777_217, 1 << 40];
        for micros in micros {
            let took = Duration::from_micros(micros);
            let before: Vec<_> = histogram.counts().cumulative().collect();
            histogram.record(took);
            for ((bound, was), (_, is)) in before.iter().zip(histogram.counts().cumulative()) {
                let is_within = took.as_secs_f64() <= *bound;
                assert_eq!(is - was, u64::from(is_within), "{took:?} and {bound}");
            }
        }
        let counts = histogram.counts();
        assert_eq!(counts.total(), micros.len() as u64);
        let sum: Duration = micros.iter().map(|us| Duration::from_micros(*us)).sum();
        assert_eq!(counts.sum, sum);
        let mut twice = counts.clone();
        twice.add(&counts);
        assert_eq!(twice.total(), 2 * counts.total());
    }

    #[test]
    fn a_fraction_of_a_microsecond_is_not_rounded_down() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_nanos(16_001));
        assert_eq!(histogram.counts().buckets[..2], [0, 1]);
    }
}
