//! What a request says besides the arguments of its call.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderMap, Uri};

use super::problem::Problem;
use crate::call::ReadLevel;
use crate::event::{EventPosition, Since};
use crate::keys::MAX_KEY_BYTES;

/// The time a call has, retries included, unless the request says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most a request may ask for: it holds a place among those that are served.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// The header by which a command is named.
const KEY: &str = "idempotency-key";
/// The header that says how long the caller waits.
const TIMEOUT: &str = "braft-timeout";
const LEVELS: &str = "linearizable (the default), lease, follower, session or local, the last with \
                      max_age=500ms, say, as its bound";

/// The parameters in a query string.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    read: Option<String>,
    max_age: Option<String>,
    /// Arguments as a JSON object.
    pub(super) args: Option<String>,
    /// The others: arguments by name.
    pub(super) flat: Vec<(String, String)>,
}

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(pairs) = pairs.map_err(|error| Problem::bad_request(error.body_text()))?;
        let mut parameters = Parameters::default();
        for (name, text) in pairs {
            let slot = match name.as_str() {
                "read" => &mut parameters.read,
                "max_age" => &mut parameters.max_age,
                "args" => &mut parameters.args,
                _ => {
                    parameters.flat.push((name, text));
                    continue;
                }
            };
            if slot.replace(text).is_some() {
                return Err(Problem::bad_request(format!("{name} is given twice")));
            }
        }
        Ok(parameters)
    }

    /// How fresh the answer must be; `None` if it is not said.
    pub(super) fn level(&self) -> Result<Option<ReadLevel>, Problem> {
        let level = match self.read.as_deref() {
            None => None,
            Some("linearizable") => Some(ReadLevel::Linearizable),
            Some("lease") => Some(ReadLevel::Lease),
            Some("follower") => Some(ReadLevel::Follower),
            Some("session") => Some(ReadLevel::Session),
            Some("local") => Some(ReadLevel::Local),
            Some(other) => {
                let text = format!("read={other:?} is unknown: use {LEVELS}");
                return Err(Problem::bad_request(text));
            }
        };
        match (&self.max_age, level) {
            (None, level) => Ok(level),
            (Some(text), Some(ReadLevel::Local)) => {
                let age = duration(text).ok_or_else(|| {
                    Problem::bad_request(format!("max_age={text:?} is no time: write 500ms or 2s"))
                })?;
                Ok(Some(ReadLevel::LocalAtMost(age)))
            }
            (Some(_), _) => Err(Problem::bad_request(
                "max_age is a bound of read=local alone",
            )),
        }
    }

    /// Whether something is said that only a query can heed.
    pub(super) fn reads(&self) -> bool {
        self.read.is_some() || self.max_age.is_some()
    }
}

/// Where a subscriber begins: behind the last event it has seen, if it says one.
pub(super) fn after(uri: &Uri, headers: &HeaderMap) -> Result<Since, Problem> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let Query(pairs) = pairs.map_err(|error| Problem::bad_request(error.body_text()))?;
    if let Some((name, _)) = pairs.iter().find(|(name, _)| name != "after") {
        let text = format!("unknown parameter {name:?}: events take after");
        return Err(Problem::bad_request(text));
    }
    // A browser that connects anew repeats the address, and knows more by then.
    let header = headers.get("last-event-id").filter(|id| !id.is_empty());
    let text = match (header, pairs.first()) {
        (Some(id), _) => id.to_str().unwrap_or("?"),
        (None, Some((_, after))) => after,
        (None, None) => return Ok(Since::Oldest),
    };
    match text {
        "oldest" => Ok(Since::Oldest),
        "latest" => Ok(Since::Latest),
        position => position_of(position).map(Since::After).ok_or_else(|| {
            Problem::bad_request(format!(
                "{position:?} is no place among events: use the id of one, oldest or latest"
            ))
        }),
    }
}

/// "12.0"
fn position_of(text: &str) -> Option<EventPosition> {
    let (index, ordinal) = text.split_once('.')?;
    Some(EventPosition {
        index: index.parse().ok()?,
        ordinal: ordinal.parse().ok()?,
    })
}

/// How long the caller waits.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Duration, Problem> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(DEFAULT_TIMEOUT);
    };
    let timeout = value.to_str().ok().and_then(duration);
    match timeout {
        Some(timeout) if timeout > MAX_TIMEOUT => Err(Problem::bad_request(format!(
            "{TIMEOUT} is {timeout:?} and may be {MAX_TIMEOUT:?} at most"
        ))),
        Some(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err(Problem::bad_request(format!(
            "{TIMEOUT}: {value:?} is no time: write 500ms, 2s or 1m"
        ))),
    }
}

/// What the caller has named the command, for it to run once.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<Bytes>, Problem> {
    let mut keys = headers.get_all(KEY).iter();
    let Some(value) = keys.next() else {
        return Ok(None);
    };
    if keys.next().is_some() {
        return Err(Problem::bad_request("idempotency-key is given twice"));
    }
    // With or without the quotes of a structured field.
    let text = value.to_str().unwrap_or_default().trim();
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > MAX_KEY_BYTES || !is_visible {
        return Err(Problem::bad_request(format!(
            "an idempotency-key has 1 to {MAX_KEY_BYTES} visible ASCII characters"
        )));
    }
    Ok(Some(Bytes::copy_from_slice(key.as_bytes())))
}

/// A whole number of milliseconds, seconds or minutes: "250ms", "2s", "1m".
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    Some(Duration::from_millis(
        number.parse::<u64>().ok()?.checked_mul(ms)?,
    ))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn level(query: &str) -> Option<Option<ReadLevel>> {
        let uri = format!("/x?{query}").parse().unwrap();
        Parameters::of(&uri).and_then(|found| found.level()).ok()
    }

    #[test]
    fn levels_are_read_with_their_bound() {
        assert_eq!(level(""), Some(None));
        assert_eq!(level("a=b&read=lease"), Some(Some(ReadLevel::Lease)));
        let bounded = ReadLevel::LocalAtMost(Duration::from_millis(500));
        assert_eq!(level("read=local&max_age=500ms"), Some(Some(bounded)));
        for wrong in [
            "read=stale",
            "read=lease&read=lease",
            "max_age=1s",
            "read=lease&max_age=1s",
            "read=local&max_age=1",
        ] {
            assert_eq!(level(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_may_stand_in_quotes_and_must_be_one() {
        let named = |texts: &[&'static str]| {
            let headers = texts.iter().map(|text| {
                let name: axum::http::HeaderName = KEY.parse().unwrap();
                (name, HeaderValue::from_static(text))
            });
            key(&headers.collect()).map_err(|_| ())
        };
        assert_eq!(named(&[]), Ok(None));
        let key = Ok(Some(Bytes::from_static(b"a-1")));
        assert_eq!(named(&["a-1"]), key);
        assert_eq!(named(&["\"a-1\""]), key);
        assert_eq!(named(&[""]), Err(()));
        assert_eq!(named(&["a b"]), Err(()));
        assert_eq!(named(&["\"\""]), Err(()));
        assert_eq!(named(&["a", "a"]), Err(()));
    }

    #[test]
    fn the_time_of_a_call_is_bounded() {
        let asked = |text| {
            let value = HeaderValue::from_static(text);
            timeout(&[(TIMEOUT.parse().unwrap(), value)].into_iter().collect()).ok()
        };
        assert_eq!(timeout(&HeaderMap::new()).ok(), Some(DEFAULT_TIMEOUT));
        assert_eq!(asked("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(asked("1m"), Some(MAX_TIMEOUT));
        for wrong in [
            "2m",
            "0s",
            "1",
            "s",
            "",
            "-1s",
            "1h",
            "99999999999999999999s",
        ] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }
}
