//! What callers have to show, as the document says it.

use serde_json::{Map, Value, json};

use crate::access::Role;

/// The names of the ways to show it, in the document.
const TOKEN: &str = "token";
const CERTIFICATE: &str = "certificate";

/// What a node asks of those who call its services.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) tokens: bool,
    pub(crate) certificates: bool,
}

impl Asked {
    /// The ways to show it; none where nothing is asked.
    pub(super) fn schemes(self) -> Map<String, Value> {
        let mut schemes = Map::new();
        if self.tokens {
            let scheme = json!({
                "type": "http",
                "scheme": "bearer",
                "description": "A token from the nodes' file of tokens, whose role is the one named \
                                at the operation, or more: read, write, admin.",
            });
            schemes.insert(TOKEN.to_owned(), scheme);
        }
        if self.certificates {
            let scheme = json!({
                "type": "mutualTLS",
                "description": "A certificate of the authority of the members or of the clients.",
            });
            schemes.insert(CERTIFICATE.to_owned(), scheme);
        }
        schemes
    }

    /// What one operation takes: all of it together.
    pub(super) fn of(self, needed: Role) -> Option<Value> {
        let mut all = Map::new();
        if self.tokens {
            all.insert(TOKEN.to_owned(), json!([needed.to_string()]));
        }
        if self.certificates {
            all.insert(CERTIFICATE.to_owned(), json!([]));
        }
        (!all.is_empty()).then(|| json!([all]))
    }

    /// Whether an answer of this status is ever given.
    pub(super) fn answers(self, status: &str) -> bool {
        status != "401" || self.tokens
    }
}
