//! A failure told in few words: what of its seed still breaks the same promise.

use std::time::{Duration, Instant};

use super::run::{Played, Size, simulated};
use super::script::Script;
use super::story::Story;
use crate::service::Service;

/// How often a seed is played for it at most.
const MAX_REPLAYS: usize = 200;
/// For how long, by the machine's clock.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Leaves out calls and faults for as long as the rest breaks the same promise, and gives back the
/// shortest that did. Each is played on a cluster, so what it tells has happened.
pub(super) async fn shrink<S: Service>(seed: u64, size: Size, played: Played) -> Played {
    let Some(story) = &played.story else {
        return played;
    };
    // With few steps and no cluster at all it is shorter still.
    if story.alone.is_some() {
        return played;
    }
    let mut shrinking = Shrinking {
        seed,
        size,
        first: story.violation.text.clone(),
        until: Instant::now() + MAX_TIME,
        replays: 0,
        best: played,
    };
    tracing::info!(
        seed,
        "looking for fewer calls and faults that break the same promise"
    );
    shrinking.shrink::<S>().await;
    let Shrinking {
        first,
        replays,
        mut best,
        ..
    } = shrinking;
    if let Some(story) = &mut best.story {
        story.replays = Some(replays);
        story.first = Some(first).filter(|first| *first != story.violation.text);
    }
    best
}

struct Shrinking {
    seed: u64,
    size: Size,
    /// What was broken when all of the seed was played.
    first: String,
    until: Instant,
    replays: usize,
    best: Played,
}

impl Shrinking {
    async fn shrink<S: Service>(&mut self) {
        if let Some(shown) = self
            .best
            .story
            .as_ref()
            .and_then(|story| story.shown_until())
        {
            let cut = self.best.script.cut(shown);
            self.still_breaks::<S>(cut).await;
        }
        if self.best.script.is_rough {
            let calm = Script {
                is_rough: false,
                ..self.best.script.clone()
            };
            self.still_breaks::<S>(calm).await;
        }
        loop {
            let before = self.best.script.clone();
            let acts = |script: &Script| script.acts.keys().copied().collect();
            self.thin::<S, _>(acts, |script, at| {
                script.acts.remove(at);
            })
            .await;
            let calls = |script: &Script| script.calls.keys().copied().collect();
            self.thin::<S, _>(calls, |script, id| {
                script.calls.remove(id);
            })
            .await;
            let script = &self.best.script;
            let is_as_before =
                script.acts.len() == before.acts.len() && script.calls.len() == before.calls.len();
            if is_as_before || self.is_over() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.replays >= MAX_REPLAYS || Instant::now() >= self.until
    }

    /// Leaves out all, halves, quarters and so on, down to one at a time; the last ones first.
    async fn thin<S: Service, K>(
        &mut self,
        keys: impl Fn(&Script) -> Vec<K>,
        leave_out: impl Fn(&mut Script, &K),
    ) {
        let mut chunk = keys(&self.best.script).len();
        while chunk > 0 {
            let mut end = usize::MAX;
            loop {
                let kept = keys(&self.best.script);
                end = end.min(kept.len());
                if end == 0 || self.is_over() {
                    break;
                }
                let start = end.saturating_sub(chunk);
                let mut script = self.best.script.clone();
                for key in &kept[start..end] {
                    leave_out(&mut script, key);
                }
                self.still_breaks::<S>(script).await;
                end = start;
            }
            chunk /= 2;
        }
    }

    /// Plays it, and keeps it if it breaks the same promise.
    async fn still_breaks<S: Service>(&mut self, script: Script) {
        self.replays += 1;
        let Ok(played) = simulated::<S>(self.seed, self.size, Some(script)).await else {
            return;
        };
        let is_like = |story: &Story| {
            let best = self.best.story.as_ref();
            best.is_some_and(|best| best.violation.is_like(&story.violation))
        };
        if played.story.as_ref().is_some_and(is_like) {
            self.best = played;
        }
    }
}
