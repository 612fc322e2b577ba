//! The command line of braft: `braft --help` shows what it can do.

fn main() -> std::process::ExitCode {
    braft::cli::main()
}
