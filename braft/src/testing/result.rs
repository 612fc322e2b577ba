//! An error type for tests that takes any error and remembers where it arose.

use std::fmt::{self, Debug};
use std::panic::Location;

/// What a test on a cluster returns.
pub type TestResult<T = ()> = Result<T, TestError>;

/// Made from anything that has a debug form, by `?`; remembers the place of the `?`.
// It has no `Debug` form itself: the conversion from every type that has one would clash with the
// conversion from itself.
pub struct TestError {
    text: String,
    location: &'static Location<'static>,
}

impl TestError {
    /// A text for people, which may have several lines.
    #[track_caller]
    pub(super) fn of_text(text: String) -> Self {
        TestError {
            text,
            location: Location::caller(),
        }
    }
}

impl<E: Debug> From<E> for TestError {
    #[track_caller]
    fn from(error: E) -> Self {
        TestError {
            text: format!("{error:?}"),
            location: Location::caller(),
        }
    }
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  at {}", self.text, self.location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_its_place() {
        fn fails() -> TestResult {
            Err("the reason")?;
            Ok(())
        }
        let text = match fails() {
            Ok(()) => panic!("it fails"),
            Err(error) => error.to_string(),
        };
        assert!(
            text.contains("the reason") && text.contains("result.rs"),
            "{text}"
        );
    }
}
