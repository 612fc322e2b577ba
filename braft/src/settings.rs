//! Replicated settings: whatever the state machine or the membership plan obeys.
//!
//! They live in the log and in snapshots. A node's own configuration only seeds them when a
//! cluster forms; read locally, they would make replicas decide differently.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the members of a cluster agree on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// Sessions kept at once; a further one is refused as busy.
    pub max_sessions: u64,
    /// Log time without a command after which a session may be evicted, in milliseconds.
    pub session_expiry_ms: u64,
    /// Answers kept for all sessions together, in bytes; beyond it an answer is not kept, and a
    /// retry of its command learns only that it was applied.
    pub kept_answer_bytes: u64,
    /// Nodes that vote; further members stay learners and step in.
    pub max_voters: u64,
    /// Voters below which the plan removes none.
    pub min_voters: u64,
    /// Contactless time after which a member counts as dead, in milliseconds.
    pub dead_after_ms: u64,
    /// Events of each service that are kept for subscribers, in bytes; the oldest go first,
    /// and the newest stays in any case.
    #[serde(default = "event_history_bytes")]
    pub event_history_bytes: u64,
    /// Log time for which they are kept, in milliseconds.
    #[serde(default = "event_history_age_ms")]
    pub event_history_age_ms: u64,
    /// What a command that panics does to its replica.
    #[serde(default)]
    pub on_panic: OnPanic,
    /// Log entries after which the members compare their states; 0 never. Each takes the digest of
    /// its state meanwhile: of a state made of [`collections`](crate::collections) it costs what has
    /// changed, of any other as much as to write it, and commands wait for it. On the machine of
    /// `docs/comparison.md` one digest took 8 ms of a `Map` of a million entries after 10,000 had changed,
    /// and 15 ms of a `BTreeMap` of 100,000 whatever had changed.
    #[serde(default = "default_digest_every")]
    pub digest_every: u64,
    /// Log time for which an idempotency key is kept from its first use, in milliseconds.
    // Left out where it is the default, as the next two: older builds do not know them.
    #[serde(default = "key_expiry_ms", skip_serializing_if = "is_key_expiry_ms")]
    pub key_expiry_ms: u64,
    /// Idempotency keys kept at once; a command with a further one is busy until some expire.
    #[serde(default = "max_keys", skip_serializing_if = "is_max_keys")]
    pub max_keys: u64,
    /// Bytes of keys and their answers beyond which a command with a new key is busy.
    #[serde(default = "kept_key_bytes", skip_serializing_if = "is_kept_key_bytes")]
    pub kept_key_bytes: u64,
}

fn key_expiry_ms() -> u64 {
    Duration::from_secs(60 * 60).as_millis() as u64
}

fn is_key_expiry_ms(value: &u64) -> bool {
    *value == key_expiry_ms()
}

fn max_keys() -> u64 {
    500_000
}

fn is_max_keys(value: &u64) -> bool {
    *value == max_keys()
}

fn kept_key_bytes() -> u64 {
    256 << 20
}

fn is_kept_key_bytes(value: &u64) -> bool {
    *value == kept_key_bytes()
}

fn event_history_bytes() -> u64 {
    64 << 20
}

fn event_history_age_ms() -> u64 {
    Duration::from_secs(24 * 60 * 60).as_millis() as u64
}

const fn default_digest_every() -> u64 {
    50_000
}

/// What a command that panics does to the replica that carries it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnPanic {
    /// The command has no effect, and the next ones are carried out: each replica makes its state
    /// anew from its last snapshot and the log, without that command. Commands wait for as long as
    /// that takes. A method that panicked three times is refused until it is
    /// [cleared](crate::Node::clear_panics).
    #[default]
    Isolate,
    /// The replica carries out nothing more and serves no reads, until a binary is started whose
    /// command does not panic. Its log goes on.
    Halt,
}

impl std::str::FromStr for OnPanic {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_lowercase().as_str() {
            "isolate" => Ok(OnPanic::Isolate),
            "halt" => Ok(OnPanic::Halt),
            _ => Err(()),
        }
    }
}

impl Settings {
    /// These settings after a change: a JSON object with names and new values.
    pub(crate) fn changed(&self, changes: &[u8]) -> Result<Settings, String> {
        let failed = |error: serde_json::Error| error.to_string();
        let changes: serde_json::Map<_, _> = serde_json::from_slice(changes).map_err(failed)?;
        let mut all = serde_json::to_value(self).map_err(failed)?;
        for (name, value) in changes {
            let Some(setting) = all.get_mut(&name) else {
                let known = all.as_object().map(|all| all.keys().cloned());
                let known = known.map(|names| names.collect::<Vec<_>>().join(", "));
                return Err(format!(
                    "there is no setting {name:?}; there are {}",
                    known.unwrap_or_default()
                ));
            };
            let before = std::mem::replace(setting, value);
            if std::mem::discriminant(&before) != std::mem::discriminant(setting) {
                return Err(format!("{name} cannot be {setting}; it is {before} now"));
            }
        }
        serde_json::from_value(all).map_err(failed)
    }

    /// Whether a cluster can live with them.
    pub(crate) fn check(&self) -> Result<(), String> {
        let least = [
            ("max_sessions", self.max_sessions),
            ("session_expiry_ms", self.session_expiry_ms),
            ("max_voters", self.max_voters),
            ("min_voters", self.min_voters),
            ("dead_after_ms", self.dead_after_ms),
        ];
        if let Some((name, _)) = least.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} must be at least 1, got 0"));
        }
        if self.min_voters > self.max_voters {
            return Err(format!(
                "min_voters is {} and max_voters {}: no number of voters is both",
                self.min_voters, self.max_voters
            ));
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_sessions: 65_536,
            session_expiry_ms: Duration::from_secs(600).as_millis() as u64,
            kept_answer_bytes: 64 << 20,
            max_voters: 5,
            min_voters: 2,
            dead_after_ms: Duration::from_secs(120).as_millis() as u64,
            event_history_bytes: event_history_bytes(),
            event_history_age_ms: event_history_age_ms(),
            on_panic: OnPanic::Isolate,
            digest_every: default_digest_every(),
            key_expiry_ms: key_expiry_ms(),
            max_keys: max_keys(),
            kept_key_bytes: kept_key_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let before = Settings::default();
        let after = before.changed(br#"{"max_sessions": 7, "on_panic": "halt"}"#);
        let wanted = Settings {
            max_sessions: 7,
            on_panic: OnPanic::Halt,
            ..before.clone()
        };
        assert_eq!(after, Ok(wanted));
        for wrong in [
            r#"{"max_session": 7}"#,
            r#"{"max_sessions": "7"}"#,
            r#"{"max_sessions": -7}"#,
            r#"{"on_panic": "perhaps"}"#,
            "7",
        ] {
            before.changed(wrong.as_bytes()).expect_err(wrong);
        }
    }

    #[test]
    fn settings_that_no_cluster_can_live_with_are_refused() {
        Settings::default().check().expect("the defaults will do");
        let none = Settings {
            max_voters: 0,
            ..Settings::default()
        };
        none.check().expect_err("no voters");
        let crossed = Settings {
            min_voters: 6,
            ..Settings::default()
        };
        crossed.check().expect_err("more than there may be");
    }
}
