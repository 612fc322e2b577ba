//! Files of tokens as users may write them, for tests that feed the readers anything.

use super::join::Keys;
use super::tokens::Table;

/// Reads a file of the tokens of callers; whether it is sound.
pub(crate) fn read_tokens(text: &str) -> bool {
    Table::read(text, None).is_ok()
}

/// Reads a file of join tokens; whether it is sound.
pub(crate) fn read_join_tokens(text: &str) -> bool {
    Keys::read(text, None).is_ok()
}
