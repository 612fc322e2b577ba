//! The table that keeps commands from running twice.

use std::time::Duration;

use bytes::Bytes;

use crate::context::LogPosition;
use crate::session::{Admission, Sessions};
use crate::settings::Settings;

const NOW: Duration = Duration::from_secs(1);

/// A session table.
#[derive(Debug)]
pub struct Table {
    sessions: Sessions,
    settings: Settings,
    ids: Vec<u64>,
    /// Of the latest command, in each session.
    sequence: u64,
}

impl Table {
    /// With so many sessions.
    pub fn new(sessions: usize) -> Self {
        let settings = Settings {
            max_sessions: u64::MAX,
            ..Settings::default()
        };
        let mut table = Sessions::default();
        let open = |index| {
            let position = LogPosition {
                term: 1,
                index,
                ordinal: 0,
            };
            table.open(position, NOW, &settings).expect("there is room")
        };
        let ids = (1..=sessions as u64).map(open).collect();
        Table {
            sessions: table,
            settings,
            ids,
            sequence: 0,
        }
    }

    /// One command of each session: admitted, and its answer kept. The client has seen the one before.
    pub fn run_each(&mut self, answer: &Bytes) {
        self.sequence += 1;
        for id in &self.ids {
            let admission = self
                .sessions
                .admit(*id, self.sequence, self.sequence - 1, NOW);
            assert_eq!(admission, Admission::Run);
            let limit = self.settings.kept_answer_bytes;
            self.sessions.save(*id, self.sequence, Some(answer), limit);
        }
    }

    /// The latest command of each session comes again; how many were answered from the table.
    pub fn repeat_each(&mut self) -> usize {
        let (table, sequence) = (&mut self.sessions, self.sequence);
        let admissions = self
            .ids
            .iter()
            .map(|id| table.admit(*id, sequence, sequence - 1, NOW));
        admissions
            .filter(|admission| matches!(admission, Admission::Answered(_)))
            .count()
    }
}
