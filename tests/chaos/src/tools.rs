//! What this machine allows, and what is missing for the rest.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fault::Fault;

/// What was found, and what has to be left out.
pub(crate) struct Tools {
    /// Preloaded into the nodes.
    pub(crate) preload: Option<PathBuf>,
    /// Cuts the power of a file system.
    pub(crate) power: Option<PathBuf>,
    /// Whether hosts can be had.
    pub(crate) has_hosts: bool,
    /// Whether connections can be reset.
    pub(crate) has_resets: bool,
    pub(crate) disks: Disks,
    /// What cannot be done here, and why.
    pub(crate) missing: Vec<(Fault, String)>,
}

/// Which file systems the nodes can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disks {
    /// ext4 on an image in a file: it can be filled, and lose its power.
    Ext4,
    /// Small ones in memory: they can be filled.
    Memory,
    /// A directory.
    Plain,
}

impl Tools {
    /// Tries what there is; builds what has to be built in `directory`. The short form needs less.
    pub(crate) fn find(directory: &Path, faults: &[Fault]) -> io::Result<Self> {
        let mut tools = Tools {
            preload: None,
            power: None,
            has_hosts: false,
            has_resets: false,
            disks: Disks::Plain,
            missing: Vec::new(),
        };
        let wants = |some: &[Fault]| some.iter().any(|fault| faults.contains(fault));
        if wants(Fault::OF_NETWORK) {
            match tests::netns::why_not() {
                None => tools.has_hosts = true,
                Some(why) => tools.miss(Fault::OF_NETWORK, why),
            }
        }
        if wants(&[Fault::Reset]) && tools.has_hosts {
            match run(Command::new("ss").arg("-V")) {
                Ok(()) => tools.has_resets = true,
                Err(error) => tools.miss(&[Fault::Reset], &format!("no ss: {error}")),
            }
        }
        if wants(Fault::OF_PRELOAD) {
            match preload(directory) {
                Ok(path) => tools.preload = Some(path),
                Err(error) => tools.miss(Fault::OF_PRELOAD, &error.to_string()),
            }
        }
        if wants(Fault::OF_DISK) {
            tools.find_disks(directory)?;
        }
        Ok(tools)
    }

    fn find_disks(&mut self, directory: &Path) -> io::Result<()> {
        let probe = directory.join("probe");
        std::fs::create_dir_all(&probe)?;
        for disks in [Disks::Ext4, Disks::Memory] {
            match crate::disk::Disk::new(disks, &probe, 0).and_then(|mut disk| disk.remove()) {
                Ok(()) => {
                    self.disks = disks;
                    break;
                }
                Err(error) if disks == Disks::Ext4 => self.miss(
                    Fault::OF_POWER,
                    &format!("no ext4 on an image can be mounted: {error}"),
                ),
                Err(error) => self.miss(
                    &[Fault::FullDisk],
                    &format!("no small file system can be mounted: {error}"),
                ),
            }
        }
        if self.disks == Disks::Ext4 {
            match compiled("power.c", include_str!("power.c"), directory, &[]) {
                Ok(path) => self.power = Some(path),
                Err(error) => self.miss(Fault::OF_POWER, &error.to_string()),
            }
        }
        Ok(())
    }

    fn miss(&mut self, faults: &[Fault], why: &str) {
        let missing = faults.iter().map(|fault| (*fault, why.to_owned()));
        self.missing.extend(missing);
    }

    /// Whether a fault is left out.
    pub(crate) fn lacks(&self, fault: Fault) -> bool {
        self.missing.iter().any(|(missing, _)| *missing == fault)
    }
}

/// The library that is preloaded, tried with a program that does nothing.
fn preload(directory: &Path) -> io::Result<PathBuf> {
    let options = ["-shared", "-fPIC", "-ldl"];
    let library = compiled("preload.c", include_str!("preload.c"), directory, &options)?;
    run(Command::new("true").env("LD_PRELOAD", &library))?;
    Ok(library)
}

fn compiled(name: &str, text: &str, directory: &Path, options: &[&str]) -> io::Result<PathBuf> {
    let source = directory.join(name);
    let made = source.with_extension("out");
    std::fs::write(&source, text)?;
    let mut command = Command::new("cc");
    command.arg("-O2").arg("-o").arg(&made).arg(&source);
    run(command.args(options))?;
    Ok(made)
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output().map_err(|error| {
        let program = command.get_program().display();
        io::Error::other(format!("{program} cannot be run: {error}"))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let program = command.get_program().display();
    Err(io::Error::other(format!("{program}: {}", words.trim())))
}
