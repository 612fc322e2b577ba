//! Checks of any service, made from the service alone.
//!
//! | file | what it holds |
//! |---|---|
//! | `invent/` | random arguments, from the types' own `Deserialize` |
//! | `twins.rs` | the service beside a twin that is saved and loaded before each step |
//! | `run.rs` | one seed on a cluster |
//! | `workload.rs`, `history.rs` | the clients, and what they saw |
//! | `nemesis` | the faults, and what has to hold meanwhile |
//! | `settled.rs` | what has to be served soon after them |
//! | `script.rs`, `shrink.rs` | what of a seed is played: less and less of one that failed |
//! | `record.rs` | the committed log, as the replicas carried it out |
//! | `verdict.rs` | whether the struct alone would have done the same |
//! | `story.rs`, `picture.rs`, `readable.rs` | a failure, for people |

mod history;
mod invent;
mod nemesis;
mod picture;
mod readable;
mod record;
mod run;
mod script;
mod settled;
mod shrink;
mod story;
mod twins;
mod verdict;
mod violation;
mod workload;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::cluster::Hosts;
use super::{TestError, TestResult};
use crate::service::Service;

/// Steps of a history unless [`Check::steps`] says otherwise.
const STEPS: usize = 200;
/// Histories unless [`Check::seeds`] says otherwise.
const SEEDS: u64 = 20;
/// Nodes unless [`Check::nodes`] says otherwise.
const NODES: usize = 3;
/// Clients unless [`Check::clients`] says otherwise.
const CLIENTS: usize = 3;
/// Of so many steps one is a fault, when a cluster is under check.
const STEPS_PER_FAULT: usize = 20;

/// Names the one seed that a check is to run.
const SEED_VARIABLE: &str = "BRAFT_CHECK_SEED";

/// What a build needs so that a seed plays the same again.
const FLAGS: &str = "exactly the same only with these lines in .cargo/config.toml:\n    [build]\n    \
                     rustflags = [\"--cfg\", \"tokio_unstable\"]";

/// A check of service `S` with random commands and queries. Their arguments are invented from the
/// types' own `Deserialize`, in a small domain where values collide.
///
/// ```
/// use braft::testing::{CheckFailure, check};
/// # use braft::raft_service;
/// # use serde::{Deserialize, Serialize};
/// # #[raft_service]
/// # #[derive(Default, Serialize, Deserialize)]
/// # pub struct Counter { value: u64 }
/// # #[raft_service]
/// # impl Counter {
/// #     pub fn add(&mut self, by: u64) -> u64 { self.value = self.value.wrapping_add(by); self.value }
/// # }
///
/// fn a_loaded_counter_counts_on() -> Result<(), CheckFailure> {
///     check::<Counter>().seeds(20).without_cluster()
/// }
/// # assert!(a_loaded_counter_counts_on().is_ok());
/// ```
pub fn check<S: Service>() -> Check<S> {
    Check {
        first_seed: 1,
        seeds: SEEDS,
        steps: STEPS,
        nodes: NODES,
        clients: CLIENTS,
        lasting: None,
        after_each: None,
        before: None,
        #[cfg(feature = "planted")]
        planted: None,
        service: PhantomData,
    }
}

/// Told of each seed that passed.
type AfterEach = dyn Fn(&Passed) + Send + Sync;

/// What [`check`] returns.
#[must_use = "a check does nothing until it is run"]
pub struct Check<S> {
    first_seed: u64,
    seeds: u64,
    steps: usize,
    nodes: usize,
    clients: usize,
    lasting: Option<Duration>,
    after_each: Option<Box<AfterEach>>,
    before: Option<Hosts>,
    #[cfg(feature = "planted")]
    planted: Option<crate::planted::Bug>,
    service: PhantomData<fn() -> S>,
}

impl<S: Service> fmt::Debug for Check<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("service", &S::NAME)
            .field("first_seed", &self.first_seed)
            .field("seeds", &self.seeds)
            .finish_non_exhaustive()
    }
}

impl<S: Service> Check<S> {
    /// How many random histories; 20 unless set.
    pub fn seeds(mut self, seeds: u64) -> Self {
        self.seeds = seeds;
        self
    }

    /// The seed of the first history; the others follow. 1 unless set.
    pub fn first_seed(mut self, seed: u64) -> Self {
        self.first_seed = seed;
        self
    }

    /// Commands and queries in one history; 200 unless set.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Nodes of the cluster; 3 unless set.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Clients of the cluster, each with two calls under way at once; 3 unless set.
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    /// Lets each seed last so long by its own clock, with fewer calls in a second, instead of a
    /// number of steps. Of use in a simulation, whose clock runs ahead of the machine's.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.lasting = Some(time);
        self
    }

    /// Begins with nodes whose binaries have an older version of the service, which is of another type
    /// and bears the same name. They get the new one node by node, under faults, until its version is
    /// active.
    pub fn upgraded_from<Old: Service>(mut self) -> Self {
        const {
            assert!(
                names_are_equal(Old::NAME, S::NAME),
                "the two services have different names"
            )
        };
        self.before = Some(|config| config.service::<Old>());
        self
    }

    /// Insists that a seed plays exactly the same again: where the build lacks the flag for it, the test
    /// does not compile, and the error gives the lines that are missing; see [`run`](Self::run).
    pub fn repeatable(self) -> Self {
        const { insist_on_flag(cfg!(tokio_unstable)) };
        self
    }

    /// Called after each seed that passed.
    pub fn after_each(mut self, tell: impl Fn(&Passed) + Send + Sync + 'static) -> Self {
        self.after_each = Some(Box::new(tell));
        self
    }

    /// Lets the nodes make a mistake.
    #[cfg(feature = "planted")]
    #[doc(hidden)]
    pub fn planted(mut self, bug: crate::planted::Bug) -> Self {
        self.planted = Some(bug);
        self
    }

    /// Plays one seed in a simulation, and tells how long it lasted, and what was broken.
    ///
    /// # Errors
    /// If the seed could not be played to its end.
    #[cfg(feature = "planted")]
    #[doc(hidden)]
    pub async fn play(self, seed: u64) -> TestResult<(Duration, Option<String>)> {
        let played = run::simulated::<S>(seed, self.size(), None).await?;
        let broken = played.story.map(|story| story.violation.text);
        Ok((played.lasted, broken))
    }

    fn size(&self) -> run::Size {
        let extent = match self.lasting {
            Some(time) => run::Extent::Time(time),
            None => run::Extent::Calls {
                calls: self.steps,
                faults: self.steps / STEPS_PER_FAULT,
            },
        };
        run::Size {
            nodes: self.nodes,
            clients: self.clients,
            extent,
            before: self.before,
            #[cfg(feature = "planted")]
            planted: self.planted,
        }
    }

    /// The seeds to run: all, or the one that `BRAFT_CHECK_SEED` names.
    fn chosen_seeds(&self) -> TestResult<std::ops::Range<u64>> {
        let Some(text) = std::env::var_os(SEED_VARIABLE) else {
            return Ok(self.first_seed..self.first_seed.saturating_add(self.seeds));
        };
        let seed = text.to_str().and_then(|text| text.parse::<u64>().ok());
        match seed {
            Some(seed) => Ok(seed..seed.saturating_add(1)),
            None => Err(TestError::of_text(format!(
                "{SEED_VARIABLE} must be a number, as a failed check prints it; it is {}",
                text.display()
            ))),
        }
    }

    /// Plays each history on a live service and on a twin that is saved and loaded before each
    /// step, as a snapshot does: answers and states have to be the same, byte for byte.
    ///
    /// Finds fields that are skipped, maps whose order depends on their history, types that do not
    /// read back as what was written, and calls that panic.
    ///
    /// # Errors
    /// The shortest failing history that was found, as a timeline, with its seed; or the type whose
    /// arguments cannot be invented.
    #[track_caller]
    pub fn without_cluster(self) -> Result<(), CheckFailure> {
        for seed in self.chosen_seeds()? {
            match twins::play::<S>(seed, self.steps) {
                Ok(None) => {}
                Ok(Some(difference)) => return Err(CheckFailure(difference.to_string())),
                Err(error) => return Err(CheckFailure(error.to_string())),
            }
        }
        Ok(())
    }

    /// Plays each seed on a simulated cluster under faults, and compares what its clients saw with
    /// what the struct alone does.
    ///
    /// All code of the nodes is the real one; the network, the disks and the clock are made up, so
    /// that seconds of a cluster take a fraction of one, however busy the machine is. The power of
    /// nodes is cut, of all at once too, or in the middle of a write, and their disks lose what was
    /// not synced; disks fill up, fail to sync, bear a wrong bit, and are lost; the network is cut, one
    /// way or both; clocks drift and jump; leadership is handed over; snapshots are written; nodes
    /// join, leave, are removed and come back. Answers are lost on their way, and calls arrive twice.
    ///
    /// The committed log is then carried out on the plain struct. Every answer has to be the same,
    /// on each replica and for each client; no command may be carried out twice, nor be lost once it
    /// was acknowledged, nor happen where its client was told that nothing did; what ended before
    /// something else began has to come before it; each linearizable query has to see all that had
    /// ended before it, each session query all that its client had seen; no term may have two
    /// leaders, and nobody may be removed while all is well; and once the faults end, all replicas have to come to the state of the struct within
    /// ten seconds.
    ///
    /// A seed plays exactly the same again if the test was built with `--cfg tokio_unstable`; these
    /// lines in `.cargo/config.toml` see to it, and a failure says so where they are missing, or the
    /// compiler, if the check has to be [`repeatable`](Self::repeatable):
    ///
    /// ```toml
    /// [build]
    /// rustflags = ["--cfg", "tokio_unstable"]
    /// ```
    ///
    /// # Errors
    /// What was broken, as a timeline with its seed, the way to run it again, and a picture of it;
    /// or the type whose arguments cannot be invented. The timeline is that of the fewest calls and
    /// faults of the seed that were found to break the same, for which it is played up to 200 times
    /// more, or for a minute.
    pub async fn run(self) -> Result<(), CheckFailure> {
        let size = self.size();
        for seed in self.chosen_seeds()? {
            let played = run::simulated::<S>(seed, size, None).await?;
            self.tell(seed, shrink::shrink::<S>(seed, size, played).await)?;
        }
        Ok(())
    }

    /// The same on real sockets and with the machine's clock: slower, and not twice the same.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_on_sockets(self) -> Result<(), CheckFailure> {
        let size = self.size();
        for seed in self.chosen_seeds()? {
            self.tell(seed, run::on_sockets::<S>(seed, size).await?)?;
        }
        Ok(())
    }

    fn tell(&self, seed: u64, played: run::Played) -> Result<(), CheckFailure> {
        if let Some(story) = played.story {
            return Err(CheckFailure(story.to_string()));
        }
        if let Some(tell) = &self.after_each {
            tell(&Passed {
                seed,
                calls: played.calls,
                faults: played.faults,
                lasted: played.lasted,
            });
        }
        Ok(())
    }
}

/// Whether two names are the same, at compile time.
const fn names_are_equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// What a check has found, as a text of several lines; its debug form is the same, so that a test can
/// return it.
pub struct CheckFailure(String);

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CheckFailure {}

impl From<TestError> for CheckFailure {
    fn from(error: TestError) -> Self {
        CheckFailure(error.to_string())
    }
}

/// A seed that passed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Passed {
    /// Which one.
    pub seed: u64,
    /// Calls of its clients.
    pub calls: usize,
    /// Faults, and their ends.
    pub faults: usize,
    /// How long it lasted by its own clock.
    pub lasted: Duration,
}

/// Does not compile, where it is evaluated by the compiler, without the flag.
const fn insist_on_flag(is_there: bool) {
    assert!(is_there, "{}", FLAGS);
}

/// How to run one seed again.
fn again(seed: u64) -> String {
    let mut text = match std::thread::current().name() {
        Some(test) if test != "main" && !test.starts_with("tokio-") => {
            format!("again: {SEED_VARIABLE}={seed} cargo test {test}")
        }
        _ => format!("again: {SEED_VARIABLE}={seed} before the command that ran this test"),
    };
    if cfg!(not(tokio_unstable)) {
        text.push_str("\n  ");
        text.push_str(FLAGS);
    }
    text
}

#[cfg(test)]
mod flags {
    use super::{FLAGS, insist_on_flag};

    /// Those of this workspace, with which its own seeds play the same again.
    const CONFIG: &str = include_str!("../../../../.cargo/config.toml");

    #[test]
    fn the_lines_to_paste_are_the_ones_that_are_used_here() {
        let lines = FLAGS.lines().skip(1).map(str::trim);
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), 2);
        assert!(CONFIG.contains(&lines.join("\n")), "{CONFIG}");
    }

    #[test]
    fn who_insists_on_the_flag_is_told_the_lines() {
        insist_on_flag(true);
        let refused = std::panic::catch_unwind(|| insist_on_flag(false));
        let refused = refused.expect_err("the flag is missing");
        let text = refused.downcast_ref::<String>().map(String::as_str);
        let text = text.or(refused.downcast_ref::<&str>().copied());
        assert_eq!(text, Some(FLAGS));
    }
}
