//! Encoded calls and answers, for people.

use crate::codec;

/// A call as MessagePack, and for people.
pub(super) fn encoded<T: serde::Serialize>(call: &T) -> (Vec<u8>, String) {
    let text = serde_json::to_string(call);
    (
        codec::encode(call).unwrap_or_default(),
        text.unwrap_or_else(|error| format!("(no JSON form: {error})")),
    )
}

/// MessagePack as JSON, where that is possible.
pub(super) fn readable(bytes: &[u8]) -> String {
    match rmp_serde::from_slice::<serde_json::Value>(bytes) {
        Ok(value) => value.to_string(),
        Err(_) => format!("{bytes:02x?}"),
    }
}
