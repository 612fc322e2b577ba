//! What is said in the log, once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long the same is not said again: nodes knock many times a second.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Texts remembered; beyond it all are news again.
const MAX_TEXTS: usize = 256;

/// Remembers what was said lately.
#[derive(Debug, Default)]
pub(crate) struct News(Mutex<BTreeMap<String, Instant>>);

impl News {
    /// Whether a text was not said lately; it counts as said from now on.
    pub(crate) fn is_new(&self, text: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if said.get(text).is_some_and(|at| now - *at < AGAIN_AFTER) {
            return false;
        }
        if said.len() >= MAX_TEXTS {
            said.clear();
        }
        said.insert(text.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_said_once_a_minute_and_little_is_remembered() {
        let news = News::default();
        assert!(news.is_new("a") && news.is_new("b") && !news.is_new("a"));
        tokio::time::sleep(AGAIN_AFTER).await;
        assert!(news.is_new("a"));
        for number in 0..2 * MAX_TEXTS {
            assert!(news.is_new(&number.to_string()));
        }
        assert!(news.0.lock().expect("not poisoned").len() <= MAX_TEXTS);
    }
}
