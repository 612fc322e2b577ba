//! A text that is never shown.

use std::fmt;

/// The shortest secret: one of so many random letters and digits is not found by trying.
pub(super) const MIN_BYTES: usize = 16;
/// The longest one; it has to fit into a header.
pub(super) const MAX_BYTES: usize = 512;

/// What only those may know who are meant to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Checks the form of a secret. The error says what is wrong, and nothing of what it is.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if !(MIN_BYTES..=MAX_BYTES).contains(&text.len()) {
            return Err(format!(
                "a token has {MIN_BYTES} to {MAX_BYTES} characters, this one {}; make one with \
                 `openssl rand -hex 32`",
                text.len()
            ));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token is made of visible ASCII characters, without spaces".to_owned());
        }
        Ok(Secret(text.to_owned()))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_nowhere_and_a_short_one_is_refused_without_being_told() {
        let secret = Secret::new("0123456789abcdef").expect("long enough");
        assert_eq!(format!("{secret:?}"), "…");
        for wrong in ["", "0123456789abcde", "0123456789 abcdef", &"x".repeat(513)] {
            let why = Secret::new(wrong).expect_err("it is wrong");
            assert!(wrong.is_empty() || !why.contains(wrong), "{why}");
        }
    }
}
