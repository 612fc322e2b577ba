//! The bar on standard error while it runs; nothing where that is no terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Pace;
use crate::run::Window;
use crate::workload::Operation;

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(200);

/// One bar, gone when it is dropped.
pub(crate) struct Bar {
    bar: ProgressBar,
    began: Instant,
}

impl Bar {
    /// For a run of this length.
    pub(crate) fn run(name: &str, operation: Operation, pace: Pace, length: Duration) -> Self {
        let pace = match pace {
            Pace::Closed { clients: 1 } => "1 client".to_owned(),
            Pace::Closed { clients } => format!("{clients} clients"),
            Pace::Open { per_second } => format!("{per_second}/s"),
        };
        let what = format!("{name} {operation}, {pace}");
        Self::new(millis(length), &what)
    }

    /// For so many writes.
    pub(crate) fn writes(writes: u64, what: &str) -> Self {
        Self::new(writes, what)
    }

    fn new(length: u64, what: &str) -> Self {
        let bar = ProgressBar::new(length);
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}");
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_prefix(what.to_owned());
        Bar {
            bar,
            began: Instant::now(),
        }
    }

    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    /// Moves along for a while, and shows the rate.
    pub(crate) async fn follow(&self, length: Duration, window: &Window) {
        let until = tokio::time::Instant::now() + length;
        let mut ticks = tokio::time::interval(TICK);
        let mut last = (Instant::now(), window.done());
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                _ = ticks.tick() => {
                    let now = (Instant::now(), window.done());
                    let seconds = now.0.duration_since(last.0).as_secs_f64();
                    if seconds > 0.0 {
                        let rate = (now.1 - last.1) as f64 / seconds;
                        self.bar.set_message(format!("{rate:.0}/s"));
                    }
                    last = now;
                    self.bar.set_position(millis(self.began.elapsed()));
                }
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
