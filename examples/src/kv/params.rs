//! What stands behind the question mark of a `/kv` request.

use std::borrow::Cow;
use std::time::Duration;

use braft::ReadLevel;
use percent_encoding::percent_decode_str;

/// The name of the map and of the key that a request does not name.
const DEFAULT: &str = "default";

/// The parameters of one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Params {
    pub(crate) map: String,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) read: ReadLevel,
}

/// Why a query string is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidParams {
    #[error("unknown parameter {0:?}: use map (m), key (k), value (v) or read")]
    Unknown(String),
    #[error("parameter {0} is given twice")]
    Twice(&'static str),
    #[error("{0:?} is not UTF-8 when decoded; percent-encode the bytes of UTF-8 text")]
    NotText(String),
    #[error(
        "read={0:?} is unknown: use read=linearizable (the default), read=lease, read=follower, \
         read=local, or read=local:MILLISECONDS for a copy that is at most so old"
    )]
    Read(String),
}

impl Params {
    /// Reads a query string; parameters may stand in any order, each at most once.
    pub(crate) fn parse(query: &str) -> Result<Self, InvalidParams> {
        let (mut map, mut key, mut value, mut read) = (None, None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, slot) = match &*decode(name)? {
                "map" | "m" => ("map", &mut map),
                "key" | "k" => ("key", &mut key),
                "value" | "v" => ("value", &mut value),
                "read" => ("read", &mut read),
                other => return Err(InvalidParams::Unknown(other.to_owned())),
            };
            if slot.replace(decode(text)?).is_some() {
                return Err(InvalidParams::Twice(name));
            }
        }
        Ok(Params {
            map: map.unwrap_or_else(|| DEFAULT.to_owned()),
            key: key.unwrap_or_else(|| DEFAULT.to_owned()),
            value,
            read: read.map_or(Ok(ReadLevel::Linearizable), level)?,
        })
    }
}

/// How fresh an answer has to be.
fn level(text: String) -> Result<ReadLevel, InvalidParams> {
    match text.as_str() {
        "linearizable" => Ok(ReadLevel::Linearizable),
        "lease" => Ok(ReadLevel::Lease),
        "follower" => Ok(ReadLevel::Follower),
        "local" => Ok(ReadLevel::Local),
        other => {
            let age = other.strip_prefix("local:").map(str::parse);
            match age {
                Some(Ok(millis)) => Ok(ReadLevel::LocalAtMost(Duration::from_millis(millis))),
                Some(Err(_)) | None => Err(InvalidParams::Read(text)),
            }
        }
    }
}

/// Undoes the encoding of forms: `+` is a space, `%41` a byte.
fn decode(text: &str) -> Result<String, InvalidParams> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded
        .map(Cow::into_owned)
        .map_err(|_| InvalidParams::NotText(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(map: &str, key: &str, value: Option<&str>, read: ReadLevel) -> Params {
        Params {
            map: map.to_owned(),
            key: key.to_owned(),
            value: value.map(str::to_owned),
            read,
        }
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let all = params("default", "default", None, ReadLevel::Linearizable);
        assert_eq!(Params::parse(""), Ok(all));
    }

    #[test]
    fn long_and_short_names_mean_the_same() {
        let expected = params("a", "b", Some("c"), ReadLevel::Linearizable);
        for query in ["map=a&key=b&value=c", "v=c&k=b&m=a", "m=a&key=b&v=c&"] {
            assert_eq!(Params::parse(query).as_ref(), Ok(&expected), "{query}");
        }
    }

    #[test]
    fn values_are_decoded_as_forms_are() {
        let read = Params::parse("k=a+b%26&v=%C3%A4%3D").map(|params| (params.key, params.value));
        assert_eq!(read, Ok(("a b&".to_owned(), Some("ä=".to_owned()))));
        let refused = Params::parse("k=%FF");
        assert_eq!(refused, Err(InvalidParams::NotText("%FF".to_owned())));
    }

    #[test]
    fn an_empty_value_is_a_value() {
        assert_eq!(
            Params::parse("v=").map(|p| p.value),
            Ok(Some(String::new()))
        );
        assert_eq!(Params::parse("v").map(|p| p.value), Ok(Some(String::new())));
    }

    #[test]
    fn the_read_level_is_one_of_those_a_client_has() {
        let read = |query: &str| Params::parse(query).map(|params| params.read);
        let bounded = ReadLevel::LocalAtMost(Duration::from_millis(250));
        for (text, level) in [
            ("linearizable", ReadLevel::Linearizable),
            ("lease", ReadLevel::Lease),
            ("follower", ReadLevel::Follower),
            ("local", ReadLevel::Local),
            ("local:250", bounded),
        ] {
            assert_eq!(read(&format!("read={text}")), Ok(level), "{text}");
        }
        for text in ["stale", "local:", "local:1s", "local:-1", "lease:1", ""] {
            let refused = read(&format!("read={text}"));
            assert_eq!(refused, Err(InvalidParams::Read(text.to_owned())));
        }
        let message = InvalidParams::Read("stale".to_owned()).to_string();
        assert!(message.contains("read=\"stale\" is unknown: use read=linearizable"));
    }

    #[test]
    fn slips_are_refused() {
        let unknown = InvalidParams::Unknown("mpa".to_owned());
        assert_eq!(Params::parse("mpa=a"), Err(unknown));
        assert_eq!(Params::parse("m=a&map=b"), Err(InvalidParams::Twice("map")));
    }
}
