//! The command line `braft`: what operators do to a cluster, and to the data of a node.
//!
//! | file | what it holds |
//! |---|---|
//! | `args.rs` | the commands and their options |
//! | `failure.rs` | how a command fails, and the exit code that says so |
//! | `screen.rs` | where output goes; tables; progress |
//! | `admin.rs` | the way to a cluster |
//! | `cluster.rs` | commands on a running cluster |
//! | `settings.rs` | its settings |
//! | `log.rs` | the log of a stopped node |
//! | `backup.rs` | backups, and new clusters made of them |
//! | `http.rs` | the way to the services |
//! | `call.rs`, `events.rs` | calls of services, and what they emit |
//! | `certs/` | authorities and certificates |
//! | `recover.rs` | a cluster made of what is left of another |

mod admin;
mod args;
mod backup;
mod call;
#[cfg(feature = "certs")]
mod certs;
mod cluster;
mod events;
mod failure;
mod http;
mod log;
mod recover;
mod screen;
mod settings;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Args, Command};
use self::failure::Failure;
pub use self::screen::Screen;

/// Exit code of a command that did what it was to do.
pub const DONE: u8 = 0;
/// Exit code of a command line that is wrong.
pub const USAGE: u8 = 2;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("braft: the system gives no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut screen = Screen::of_process();
    ExitCode::from(runtime.block_on(run(std::env::args_os(), &mut screen)))
}

/// Runs one command line, the program's name first, and gives its exit code.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, screen: &mut Screen) -> u8 {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        // Help and version are no mistakes, and come this way too.
        Err(told) if told.use_stderr() => {
            screen.tell(told.render());
            return USAGE;
        }
        Err(told) => {
            screen.say(told.render().to_string().trim_end());
            return DONE;
        }
    };
    screen.json = args.json;
    match carry_out(&args, screen).await {
        Ok(()) => DONE,
        Err(failure) => {
            screen.fail(&failure);
            failure.code()
        }
    }
}

async fn carry_out(args: &Args, screen: &mut Screen) -> Result<(), Failure> {
    match &args.command {
        Command::Status { only } => cluster::status(args, *only, screen).await,
        Command::Members => cluster::members(args, screen).await,
        Command::Add { node } => cluster::add(args, node, screen).await,
        Command::Remove { node } => cluster::remove(args, node, screen).await,
        Command::TransferLeader { node } => {
            cluster::transfer_leader(args, node.as_deref(), screen).await
        }
        Command::Snapshot => cluster::snapshot(args, screen).await,
        Command::ClearPanics { method } => cluster::clear_panics(args, method, screen).await,
        Command::Schema { service } => cluster::schema(args, service.as_deref(), screen).await,
        Command::Settings { changes } => settings::settings(args, changes, screen).await,
        Command::Log { command } => log::log(command, screen),
        Command::Backup { file, verify: true } => backup::verify(file, screen),
        Command::Backup {
            file,
            verify: false,
        } => backup::backup(args, file, screen).await,
        Command::Restore { file, data_dir } => backup::restore(file, data_dir, screen),
        Command::Recover { data_dir, yes } => recover::recover(data_dir, *yes, screen),
        Command::Call(what) => call::call(args, what, screen).await,
        Command::Events(what) => events::events(args, what, screen).await,
        #[cfg(feature = "certs")]
        Command::Certs(what) => certs::certs(what, screen),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "braft", &mut script);
            screen.say(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
    }
}
