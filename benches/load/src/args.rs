//! The options that say what to run.

use std::time::Duration;

use clap::Args;

use crate::workload::{Operation, Workload};

/// The most operations of an open loop that may be under way: beyond it the store has long failed.
pub(crate) const MAX_UNDER_WAY: usize = 100_000;

/// What to run, and how long.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// What the clients do; several are run one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["put", "get"])]
    #[arg(value_name = "WHAT,…")]
    pub operation: Vec<Operation>,
    /// Closed loop: so many clients, each of which waits for its answer; several numbers are run
    /// one after the other
    #[arg(long, value_delimiter = ',', default_values = ["1", "8", "64", "256", "1024"])]
    #[arg(value_name = "N,…", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: Vec<u32>,
    /// Open loop instead: so many operations begin each second, whether or not the others have
    /// ended; times count from when an operation should have begun
    #[arg(long, value_name = "PER-SECOND", conflicts_with = "clients")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,
    /// How long each run is measured
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub seconds: Duration,
    /// How long each run goes on before it is measured, in seconds
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = seconds)]
    pub warm_up: Duration,
    /// The size of a value
    #[arg(long, default_value_t = 256, value_name = "BYTES")]
    pub value_bytes: usize,
    /// How many keys there are
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub keys: u64,
    /// How many connections the clients share
    #[arg(long, default_value_t = 1, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Print the figures as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Whether clients wait for their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Closed { clients: u32 },
    Open { per_second: u64 },
}

impl LoadArgs {
    pub(crate) fn paces(&self) -> Vec<Pace> {
        match self.rate {
            Some(per_second) => vec![Pace::Open { per_second }],
            None => {
                let each = self.clients.iter();
                each.map(|clients| Pace::Closed { clients: *clients })
                    .collect()
            }
        }
    }

    pub(crate) fn workload(&self, operation: Operation) -> Workload {
        Workload {
            operation,
            keys: self.keys,
            value: "v".repeat(self.value_bytes),
        }
    }

    /// The same options as words of a command line, for a load in a process of its own.
    pub fn to_words(&self) -> Vec<String> {
        let mut words = vec![
            "--operation".to_owned(),
            join(&self.operation),
            "--seconds".to_owned(),
            self.seconds.as_secs_f64().to_string(),
            "--warm-up".to_owned(),
            self.warm_up.as_secs_f64().to_string(),
            "--value-bytes".to_owned(),
            self.value_bytes.to_string(),
            "--keys".to_owned(),
            self.keys.to_string(),
            "--connections".to_owned(),
            self.connections.to_string(),
        ];
        match self.rate {
            Some(rate) => words.extend(["--rate".to_owned(), rate.to_string()]),
            None => words.extend(["--clients".to_owned(), join(&self.clients)]),
        }
        if self.json {
            words.push("--json".to_owned());
        }
        words
    }
}

fn join<T: ToString>(list: &[T]) -> String {
    let all: Vec<_> = list.iter().map(ToString::to_string).collect();
    all.join(",")
}

fn seconds(text: &str) -> Result<Duration, String> {
    const MOST: f64 = 86_400.0;
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if !(0.0..=MOST).contains(&seconds) {
        return Err(format!("not between 0 and {MOST}"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn parse(words: &[&str]) -> Result<LoadArgs, String> {
        let words = ["load"].iter().chain(words);
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(cli.load)
    }

    #[test]
    fn several_operations_and_client_counts_are_runs_of_their_own() {
        let load = parse(&["--operation", "put,mixed", "--clients=1,64"]).expect("well-formed");
        assert_eq!(load.operation, [Operation::Put, Operation::Mixed]);
        let closed = |clients| Pace::Closed { clients };
        assert_eq!(load.paces(), [closed(1), closed(64)]);
    }

    #[test]
    fn a_rate_makes_the_loop_open() {
        let load = parse(&["--rate", "500"]).expect("well-formed");
        assert_eq!(load.paces(), [Pace::Open { per_second: 500 }]);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for slip in [
            "--clients=0",
            "--rate=0",
            "--seconds=-1",
            "--seconds=NaN",
            "--keys=0",
            "--operation=write",
            "--connections=0",
        ] {
            assert!(parse(&[slip]).is_err(), "{slip}");
        }
        assert!(parse(&["--rate=5", "--clients=5"]).is_err());
    }

    #[test]
    fn the_words_say_the_same_again() {
        let words = "--operation local --rate 7 --seconds 0.5 --keys 3 --connections 2 --json";
        let words: Vec<_> = words.split(' ').collect();
        let once = parse(&words).expect("well-formed");
        let again = once.to_words();
        let again: Vec<_> = again.iter().map(String::as_str).collect();
        let again = parse(&again).expect("well-formed");
        assert_eq!(format!("{again:?}"), format!("{once:?}"));
    }
}
