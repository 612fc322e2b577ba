//! Compiles `proto/` into `braft/src/wire/generated/`, which is committed.
//!
//! `cargo run -p proto-gen` writes the files; with `--check` it only says whether they are fresh.
//! protox stands in for `protoc`, so nothing has to be installed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use prost::Message;
use protox::Compiler;

const SOURCES: [&str; 4] = [
    "braft/admin/v1/admin.proto",
    "braft/v1/client.proto",
    "braft/v1/cluster.proto",
    "braft/v1/raft.proto",
];
const DESCRIPTORS: &str = "braft.fds.bin";

fn main() -> ExitCode {
    let check = match env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!("unknown argument `{other}`; the only one is --check");
            return ExitCode::FAILURE;
        }
    };
    match run(check) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot compile the protocol: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether the committed files are fresh; unless only checking, they are afterwards.
fn run(check: bool) -> Result<bool, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("../braft/src/wire/generated");
    let scratch = Scratch::new()?;
    generate(root, &scratch.0)?;

    let mut fresh = true;
    for name in names(&scratch.0)? {
        let (new, path) = (fs::read(scratch.0.join(&name))?, target.join(&name));
        if fs::read(&path).is_ok_and(|old| old == new) {
            continue;
        }
        if check {
            eprintln!(
                "braft/src/wire/generated/{name} is not what proto/ compiles to; \
                 run `cargo run -p proto-gen` and commit the result"
            );
            fresh = false;
        } else {
            fs::create_dir_all(&target)?;
            fs::write(path, new)?;
            println!("wrote braft/src/wire/generated/{name}");
        }
    }
    Ok(fresh)
}

fn generate(root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut compiler = Compiler::new([root])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(SOURCES)?;
    let descriptors = compiler.file_descriptor_set();

    // Reflection shows names and types only; comments would triple the file.
    let mut bare = descriptors.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    fs::write(out.join(DESCRIPTORS), bare.encode_to_vec())?;

    tonic_prost_build::configure()
        .out_dir(out)
        // Payloads share the buffer the frame was read into.
        .bytes(".")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A folder that goes away with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Box<dyn Error>> {
        let path = env::temp_dir().join(format!("braft-proto-gen-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder left behind in the temporary directory is no error.
        let _ = fs::remove_dir_all(&self.0);
    }
}
