//! Where entries lie on disk: changed by the writer, in the order of the disk.
//!
//! Sparse: one point for many entries, so that ten million of them cost a few megabytes. From a
//! point one reads on to the entry that is wanted.

use std::collections::VecDeque;
use std::sync::Arc;

use super::segment::Segment;
use super::types::LogId;

/// A new point is set after this many entries …
const POINT_ENTRIES: u64 = 64;
/// … or this many bytes, whichever comes first: what a reader may have to skip.
const POINT_BYTES: u64 = 128 << 10;

/// The batch at `offset` holds entry `first`, and those up to the next point follow it in the
/// same segment. Entries at or after the next point's first that are met on the way are void.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Point {
    first: u64,
    segment: u64,
    offset: u64,
}

/// The segments of the log and the points in them.
#[derive(Default)]
pub(super) struct Index {
    segments: VecDeque<Arc<Segment>>,
    points: VecDeque<Point>,
    /// Whether the next batch must get a point: at a segment's start and after a truncation.
    fresh: bool,
    /// Index of the last entry on disk.
    written: Option<u64>,
}

/// Where to start reading.
pub(super) struct Run {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    /// Entries from this index on are found elsewhere.
    pub(super) end: u64,
}

impl Index {
    pub(super) fn segments(&self) -> &VecDeque<Arc<Segment>> {
        &self.segments
    }

    /// Index of the last entry on disk.
    pub(super) fn written(&self) -> Option<u64> {
        self.written
    }

    /// Opens the next segment.
    pub(super) fn push_segment(&mut self, segment: Arc<Segment>) {
        self.segments.push_back(segment);
        self.fresh = true;
    }

    /// Notes that a batch at `offset` of the newest segment holds entries `first..=last`.
    pub(super) fn wrote(&mut self, first: u64, last: u64, offset: u64) {
        let segment = self.segments.back().map_or(0, |last| last.header.number);
        let point = Point {
            first,
            segment,
            offset,
        };
        let far = || {
            self.points.back().is_none_or(|back| {
                first - back.first >= POINT_ENTRIES || offset - back.offset >= POINT_BYTES
            })
        };
        if self.fresh || far() {
            self.points.push_back(point);
            self.fresh = false;
        }
        self.written = Some(last);
    }

    /// Notes that entries after `last` are void.
    pub(super) fn truncate(&mut self, last: Option<LogId>) {
        let keep = last.map_or(0, |last| last.index + 1);
        while self.points.back().is_some_and(|point| point.first >= keep) {
            self.points.pop_back();
        }
        self.fresh = true;
        self.written = last.map(|last| last.index);
    }

    /// Notes that entries up to `upto` are void, and takes out the segments that hold no other.
    pub(super) fn purge(&mut self, upto: LogId) -> Vec<Arc<Segment>> {
        if self.written.is_none_or(|written| written <= upto.index) {
            self.written = Some(upto.index);
            self.points.clear();
            self.fresh = true;
        }
        let first = upto.index + 1;
        while self.points.len() > 1 && self.points[1].first <= first {
            self.points.pop_front();
        }
        let newest = self.segments.back().map_or(0, |last| last.header.number);
        let keep = self.points.front().map_or(newest, |point| point.segment);
        let void = self
            .segments
            .partition_point(|segment| segment.header.number < keep);
        self.segments.drain(..void).collect()
    }

    /// The bytes of the segments that hold nothing after entry `upto`, which is on disk.
    pub(super) fn bytes_upto(&self, upto: u64) -> u64 {
        let Some(next) = self.locate(upto.saturating_add(1)) else {
            return 0;
        };
        let void = self.segments.iter();
        void.take_while(|segment| segment.header.number < next.segment.header.number)
            .map(|segment| segment.header.bytes)
            .sum()
    }

    /// Where entry `index` is found.
    pub(super) fn locate(&self, index: u64) -> Option<Run> {
        let after = self.points.partition_point(|point| point.first <= index);
        let point = self.points.get(after.checked_sub(1)?)?;
        let end = self.points.get(after).map_or(u64::MAX, |next| next.first);
        let first = self.segments.front()?.header.number;
        let segment = self.segments.get((point.segment - first) as usize)?;
        Some(Run {
            segment: Arc::clone(segment),
            offset: point.offset,
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_million_entries_cost_a_few_megabytes() {
        let mut index = Index::default();
        // One batch each, the worst case; a hundredth of them is enough to see the rate.
        for at in 0..100_000 {
            index.wrote(at, at, at * 100);
        }
        let bytes = index.points.len() * size_of::<Point>() * 100;
        assert!(bytes < 8 << 20, "{bytes}");
    }
}
