//! The session table: replicated state that makes every command run at most once.
//!
//! A session's id is the place in the log of the item that opened it, never chosen by a client: a
//! late duplicate of an opening then makes another session instead of reviving an evicted one.
//! The table is bounded, expires by log time only, and is part of the snapshot, so what it decides
//! survives failover, restart and snapshot.
//!
//! Source: Ongaro's dissertation, section 6.3.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::collections::Map;
use crate::context::LogPosition;
use crate::request::SESSION_WINDOW;
use crate::settings::Settings;

/// The largest single answer that is kept for a retry, in bytes.
pub(crate) const MAX_KEPT_ANSWER_BYTES: usize = 64 << 10;

/// Where a command stands in the log: the index of its entry, and its place in the entry.
pub(crate) type Place = (u64, u32);

/// What the table says of a command before it runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It has not run: run it, then [`Sessions::save`] its answer.
    Run,
    /// It ran; this was the answer.
    Answered(Bytes),
    /// It ran; the answer is no longer kept.
    AnswerDropped,
    /// It panicked at this place of the log, and has no effect.
    Panicked(Place),
    /// It was refused, because its method had panicked too often.
    Refused,
    /// It was refused, because its idempotency key belongs to another command.
    KeyReused,
    /// It was refused, because there was no room for its idempotency key.
    NoRoomForKey,
    /// The session is not in the table: never opened, closed or expired.
    Expired,
    /// The sequence lies beyond the window.
    BeyondWindow,
}

/// All sessions of a cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sessions {
    // Frozen with each snapshot, and it may be large.
    table: Map<u64, Session>,
    kept_bytes: u64,
    /// No session can be due before this log time: spares a scan with each entry.
    next_scan: Duration,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Session {
    last_active: Duration,
    /// The client has seen the answers of all sequences up to this one.
    responded_to: u64,
    /// What is known of the sequences from `responded_to + 1` on.
    answers: VecDeque<Slot>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Slot {
    /// Not seen yet: sequences may arrive out of order.
    Unseen,
    Kept(#[serde(with = "codec::byte_string")] Bytes),
    Dropped,
    /// Without effect: it panicked at this place.
    Panicked {
        index: u64,
        ordinal: u32,
    },
    /// Without effect: its method had panicked too often.
    Refused,
    /// Without effect: its idempotency key belongs to another command.
    KeyReused,
    /// Without effect: there was no room for its idempotency key.
    NoRoomForKey,
}

/// Whether commands run without sessions in this process: a benchmark measures what they cost.
#[cfg(feature = "testing")]
pub(crate) fn are_off() -> bool {
    off::OFF.load(std::sync::atomic::Ordering::Relaxed)
}

/// Whether commands run without sessions: never.
#[cfg(not(feature = "testing"))]
pub(crate) const fn are_off() -> bool {
    false
}

#[cfg(feature = "testing")]
pub(crate) mod off {
    //! Whether sessions are off in this process.

    use std::sync::atomic::{AtomicBool, Ordering};

    pub(super) static OFF: AtomicBool = AtomicBool::new(false);

    /// Lets commands run without sessions from now on, or with them again.
    pub(crate) fn set(off: bool) {
        OFF.store(off, Ordering::Relaxed);
    }
}

/// The id of the session opened at a place in the log.
pub(crate) fn session_id(position: LogPosition) -> u64 {
    // An entry holds fewer than 2^16 items and an index never reaches 2^48.
    position.index << 16 | u64::from(position.ordinal)
}

impl Sessions {
    /// Opens a session; `None` when the table is full.
    pub(crate) fn open(
        &mut self,
        position: LogPosition,
        now: Duration,
        settings: &Settings,
    ) -> Option<u64> {
        self.evict_expired(now, settings);
        if self.table.len() as u64 >= settings.max_sessions {
            return None;
        }
        let id = session_id(position);
        self.table.insert(
            id,
            Session {
                last_active: now,
                ..Session::default()
            },
        );
        Some(id)
    }

    pub(crate) fn close(&mut self, id: u64) {
        if let Some(session) = self.table.remove(&id) {
            self.kept_bytes -= session.kept_bytes();
        }
    }

    /// Decides whether a command runs, and forgets what the client has seen.
    pub(crate) fn admit(
        &mut self,
        id: u64,
        sequence: u64,
        responded_to: u64,
        now: Duration,
    ) -> Admission {
        if are_off() {
            return Admission::Run;
        }
        let Some(session) = self.table.get_mut(&id) else {
            return Admission::Expired;
        };
        session.last_active = session.last_active.max(now);
        self.kept_bytes -= session.forget(responded_to);
        if sequence <= session.responded_to {
            // A late duplicate of a call whose answer the client has already seen.
            return Admission::AnswerDropped;
        }
        let offset = sequence - session.responded_to - 1;
        if offset >= SESSION_WINDOW {
            return Admission::BeyondWindow;
        }
        match session.answers.get(offset as usize) {
            None | Some(Slot::Unseen) => Admission::Run,
            Some(Slot::Kept(answer)) => Admission::Answered(answer.clone()),
            Some(Slot::Dropped) => Admission::AnswerDropped,
            Some(Slot::Panicked { index, ordinal }) => Admission::Panicked((*index, *ordinal)),
            Some(Slot::Refused) => Admission::Refused,
            Some(Slot::KeyReused) => Admission::KeyReused,
            Some(Slot::NoRoomForKey) => Admission::NoRoomForKey,
        }
    }

    /// Whether the table knows what became of a command.
    pub(crate) fn is_settled(&self, id: u64, sequence: u64) -> bool {
        self.table.get(&id).is_some_and(|session| {
            let Some(offset) = sequence.checked_sub(session.responded_to + 1) else {
                return true;
            };
            let slot = session.answers.get(offset as usize);
            slot.is_some_and(|slot| !matches!(slot, Slot::Unseen))
        })
    }

    /// Keeps the answer of a command that [`admit`](Self::admit) let run.
    pub(crate) fn save(&mut self, id: u64, sequence: u64, answer: Option<&Bytes>, limit: u64) {
        let fits = |answer: &&Bytes| {
            answer.len() <= MAX_KEPT_ANSWER_BYTES && self.kept_bytes + answer.len() as u64 <= limit
        };
        let slot = match answer.filter(fits) {
            None => Slot::Dropped,
            Some(answer) => Slot::Kept(answer.clone()),
        };
        self.fill(id, sequence, slot);
    }

    /// Remembers that a command that [`admit`](Self::admit) let run panicked, and so did nothing.
    pub(crate) fn save_panicked(&mut self, id: u64, sequence: u64, (index, ordinal): Place) {
        self.fill(id, sequence, Slot::Panicked { index, ordinal });
    }

    /// Remembers that a command that [`admit`](Self::admit) let run was refused instead.
    pub(crate) fn save_refused(&mut self, id: u64, sequence: u64) {
        self.fill(id, sequence, Slot::Refused);
    }

    /// Remembers that a command that [`admit`](Self::admit) let run was refused for its key.
    pub(crate) fn save_key_reused(&mut self, id: u64, sequence: u64) {
        self.fill(id, sequence, Slot::KeyReused);
    }

    /// Remembers that a command that [`admit`](Self::admit) let run had no room for its key.
    pub(crate) fn save_no_room_for_key(&mut self, id: u64, sequence: u64) {
        self.fill(id, sequence, Slot::NoRoomForKey);
    }

    fn fill(&mut self, id: u64, sequence: u64, slot: Slot) {
        if are_off() {
            return;
        }
        let Some(session) = self.table.get_mut(&id) else {
            return;
        };
        let offset = (sequence - session.responded_to - 1) as usize;
        while session.answers.len() <= offset {
            session.answers.push_back(Slot::Unseen);
        }
        self.kept_bytes += slot.bytes();
        session.answers[offset] = slot;
    }

    /// Drops the sessions without a command for the expiry time. Only called from apply, with log
    /// time, so every replica drops the same ones at the same entry.
    pub(crate) fn evict_expired(&mut self, now: Duration, settings: &Settings) {
        if now < self.next_scan {
            return;
        }
        let expiry = Duration::from_millis(settings.session_expiry_ms);
        let is_expired = |session: &Session| session.last_active + expiry <= now;
        let sessions = self.table.iter();
        let expired: Vec<u64> = sessions
            .filter_map(|(id, session)| is_expired(session).then_some(*id))
            .collect();
        for id in expired {
            self.close(id);
        }
        // A scan costs the whole table: at most sixteen of them per expiry time.
        let earliest = self
            .table
            .values()
            .map(|session| session.last_active + expiry)
            .min();
        self.next_scan = earliest.unwrap_or(now).max(now + expiry / 16);
    }

    /// The next scan was set by the expiry time of before.
    pub(crate) fn settings_changed(&mut self) {
        self.next_scan = Duration::ZERO;
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Notes the answers that differ from recorded ones; how many there were to compare.
    pub(crate) fn compare(&self, recorded: &Sessions, mut note: impl FnMut(String)) -> u64 {
        let mut compared = 0;
        for (id, theirs) in &recorded.table {
            let Some(ours) = self.table.get(id) else {
                note(format!("session {id} is missing"));
                continue;
            };
            if (ours.responded_to, ours.answers.len())
                != (theirs.responded_to, theirs.answers.len())
            {
                note(format!("session {id} is at another command than recorded"));
                continue;
            }
            let sequences = theirs.responded_to + 1..;
            for (sequence, (ours, theirs)) in
                sequences.zip(ours.answers.iter().zip(&theirs.answers))
            {
                compared += u64::from(matches!(theirs, Slot::Kept(_)));
                if ours != theirs {
                    note(format!(
                        "the answer to command {sequence} of session {id} is {}, recorded was {}",
                        ours.readable(),
                        theirs.readable()
                    ));
                }
            }
        }
        if self.table.len() > recorded.table.len() {
            note("there are sessions that were not recorded".to_owned());
        }
        compared
    }
}

impl Session {
    /// Forgets answers the client has seen; returns the bytes that frees.
    fn forget(&mut self, responded_to: u64) -> u64 {
        let mut freed = 0;
        while self.responded_to < responded_to {
            match self.answers.pop_front() {
                Some(slot) => freed += slot.bytes(),
                None => {
                    self.responded_to = responded_to;
                    break;
                }
            }
            self.responded_to += 1;
        }
        freed
    }

    fn kept_bytes(&self) -> u64 {
        self.answers.iter().map(Slot::bytes).sum()
    }
}

impl Slot {
    fn readable(&self) -> String {
        match self {
            Slot::Unseen => "missing".to_owned(),
            Slot::Dropped => "no longer kept".to_owned(),
            Slot::Panicked { .. } => "that it panicked".to_owned(),
            Slot::Refused => "that it is refused".to_owned(),
            Slot::KeyReused => "that its key is another's".to_owned(),
            Slot::NoRoomForKey => "that there is no room for its key".to_owned(),
            Slot::Kept(answer) => match rmp_serde::from_slice::<serde_json::Value>(answer) {
                Ok(value) => value.to_string(),
                Err(_) => format!("{answer:02x?}"),
            },
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Slot::Kept(answer) => answer.len() as u64,
            Slot::Unseen
            | Slot::Dropped
            | Slot::Panicked { .. }
            | Slot::Refused
            | Slot::KeyReused
            | Slot::NoRoomForKey => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> Settings {
        Settings {
            max_sessions: 2,
            session_expiry_ms: 10_000,
            kept_answer_bytes: 10,
            ..Settings::default()
        }
    }

    fn at(index: u64) -> LogPosition {
        LogPosition {
            term: 1,
            index,
            ordinal: 0,
        }
    }

    fn opened() -> (Sessions, u64) {
        let mut sessions = Sessions::default();
        let id = sessions.open(at(1), SECOND, &settings()).unwrap();
        (sessions, id)
    }

    fn run(sessions: &mut Sessions, id: u64, sequence: u64, answer: &'static [u8]) {
        assert_eq!(sessions.admit(id, sequence, 0, SECOND), Admission::Run);
        let answer = Bytes::from_static(answer);
        sessions.save(id, sequence, Some(&answer), settings().kept_answer_bytes);
    }

    #[test]
    fn a_retry_gets_the_first_answer_and_does_not_run() {
        let (mut sessions, id) = opened();
        run(&mut sessions, id, 1, b"one");
        let again = sessions.admit(id, 1, 0, SECOND);
        assert_eq!(again, Admission::Answered(Bytes::from_static(b"one")));
    }

    #[test]
    fn sequences_may_arrive_out_of_order_and_each_runs_once() {
        let (mut sessions, id) = opened();
        run(&mut sessions, id, 3, b"3");
        run(&mut sessions, id, 1, b"1");
        run(&mut sessions, id, 2, b"2");
        for sequence in 1..=3 {
            assert!(matches!(
                sessions.admit(id, sequence, 0, SECOND),
                Admission::Answered(_)
            ));
        }
    }

    #[test]
    fn what_the_client_has_seen_is_forgotten_and_never_runs_again() {
        let (mut sessions, id) = opened();
        run(&mut sessions, id, 1, b"12345");
        assert_eq!(sessions.kept_bytes, 5);
        assert_eq!(sessions.admit(id, 2, 1, SECOND), Admission::Run);
        assert_eq!(sessions.kept_bytes, 0);
        assert_eq!(sessions.admit(id, 1, 0, SECOND), Admission::AnswerDropped);
    }

    #[test]
    fn a_mark_beyond_what_was_seen_jumps() {
        let (mut sessions, id) = opened();
        assert_eq!(
            sessions.admit(id, 1_000_001, 1_000_000, SECOND),
            Admission::Run
        );
        assert_eq!(
            sessions.admit(id, 1_000_000, 0, SECOND),
            Admission::AnswerDropped
        );
    }

    #[test]
    fn an_answer_that_is_not_kept_still_keeps_its_sequence() {
        let (mut sessions, id) = opened();
        run(&mut sessions, id, 1, b"12345678");
        run(&mut sessions, id, 2, b"over the limit");
        assert_eq!(sessions.admit(id, 2, 0, SECOND), Admission::AnswerDropped);
    }

    #[test]
    fn a_command_that_panicked_or_was_refused_says_so_again_and_never_runs() {
        let (mut sessions, id) = opened();
        for sequence in [2, 1] {
            assert!(!sessions.is_settled(id, sequence));
            assert_eq!(sessions.admit(id, sequence, 0, SECOND), Admission::Run);
        }
        sessions.save_panicked(id, 2, (7, 1));
        sessions.save_refused(id, 1);
        let bytes = codec::encode(&sessions).unwrap();
        for mut sessions in [sessions, codec::decode(&bytes).unwrap()] {
            assert!(sessions.is_settled(id, 1) && sessions.is_settled(id, 2));
            let again = sessions.admit(id, 2, 0, SECOND);
            assert_eq!(again, Admission::Panicked((7, 1)));
            assert_eq!(sessions.admit(id, 1, 0, SECOND), Admission::Refused);
        }
    }

    #[test]
    fn a_sequence_beyond_the_window_is_refused() {
        let (mut sessions, id) = opened();
        assert_eq!(
            sessions.admit(id, SESSION_WINDOW, 0, SECOND),
            Admission::Run
        );
        assert_eq!(
            sessions.admit(id, SESSION_WINDOW + 1, 0, SECOND),
            Admission::BeyondWindow
        );
    }

    #[test]
    fn a_full_table_refuses_and_only_expired_sessions_make_room() {
        let (mut sessions, id) = opened();
        assert!(sessions.open(at(2), SECOND, &settings()).is_some());
        assert!(sessions.open(at(3), 2 * SECOND, &settings()).is_none());
        sessions.admit(id, 1, 0, 9 * SECOND);
        assert!(sessions.open(at(4), 12 * SECOND, &settings()).is_some());
        assert_eq!(sessions.admit(id, 1, 0, 12 * SECOND), Admission::Run);
        assert_eq!(
            sessions.admit(session_id(at(2)), 1, 0, 12 * SECOND),
            Admission::Expired
        );
    }

    #[test]
    fn a_shorter_expiry_holds_from_when_it_is_set() {
        let mut sessions = Sessions::default();
        let id = sessions.open(at(1), SECOND, &Settings::default()).unwrap();
        sessions.settings_changed();
        sessions.evict_expired(12 * SECOND, &settings());
        assert_eq!(sessions.admit(id, 1, 0, 12 * SECOND), Admission::Expired);
    }

    #[test]
    fn an_evicted_session_never_runs_a_command_again() {
        let (mut sessions, id) = opened();
        run(&mut sessions, id, 1, b"one");
        sessions.evict_expired(12 * SECOND, &settings());
        assert_eq!(sessions.admit(id, 1, 0, 12 * SECOND), Admission::Expired);
        assert_eq!(sessions.kept_bytes, 0);
    }

    #[test]
    fn the_table_is_the_same_after_a_snapshot() {
        let (mut sessions, id) = opened();
        run(&mut sessions, id, 2, b"two");
        let bytes = crate::codec::encode(&sessions).unwrap();
        let mut restored: Sessions = crate::codec::decode(&bytes).unwrap();
        assert_eq!(crate::codec::encode(&restored).unwrap(), bytes);
        assert_eq!(restored.admit(id, 1, 0, SECOND), Admission::Run);
        let two = Admission::Answered(Bytes::from_static(b"two"));
        assert_eq!(restored.admit(id, 2, 0, SECOND), two);
    }
}
