//! The options of `bench`.

use std::path::PathBuf;

use clap::Args;
use load::LoadArgs;

#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// A running cluster: the raft addresses of its nodes. Its map `bench` is written to. Without,
    /// a cluster is started for the measurement
    #[arg(long, value_delimiter = ',', value_name = "HOST:PORT,…")]
    pub(crate) target: Vec<String>,
    /// Where a node of the running cluster serves HTTP, for the figures of the nodes [default: two
    /// above the port of the first target]
    #[arg(long, value_name = "HOST:PORT", requires = "target")]
    pub(crate) http: Option<String>,
    /// How many nodes to start, 1 to 9
    #[arg(long, default_value_t = 3, value_name = "N", conflicts_with = "target")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) nodes: u16,
    /// Where the started nodes keep their data while it runs [default: the directory for temporary
    /// files]
    #[arg(long, value_name = "DIR", conflicts_with = "target")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl BenchArgs {
    /// Below which directory the started nodes write.
    pub(crate) fn place(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Where the running cluster is asked for the figures of its nodes.
    pub(crate) fn http_address(&self) -> Option<String> {
        if self.http.is_some() {
            return self.http.clone();
        }
        let (host, port) = self.target.first()?.rsplit_once(':')?;
        let port = port.parse::<u16>().ok()?.checked_add(2)?;
        Some(format!("{host}:{port}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn http_address(words: &[&str]) -> Option<String> {
        let words = ["bench"].iter().chain(words);
        let cli = Cli::try_parse_from(words).ok()?;
        cli.bench.http_address()
    }

    #[test]
    fn http_is_two_above_the_raft_port_unless_it_is_said() {
        let beside = |target| http_address(&["--target", target]);
        assert_eq!(beside("host:15000,b:1").as_deref(), Some("host:15002"));
        assert_eq!(beside("[::1]:15000").as_deref(), Some("[::1]:15002"));
        assert_eq!(beside("host:65535"), None);
        let given = http_address(&["--target", "host:15000", "--http", "host:80"]);
        assert_eq!(given.as_deref(), Some("host:80"));
    }
}
