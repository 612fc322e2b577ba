//! One of the readers, which `READER` names; with `SEEDS` a directory that first gets its sound inputs.

#![no_main]

use std::sync::OnceLock;

use braft::testing::fuzz::{Target, targets};
use libfuzzer_sys::fuzz_target;

static READER: OnceLock<Target> = OnceLock::new();

fn choose() -> Target {
    let all = targets();
    let names: Vec<_> = all.iter().map(|target| target.name).collect();
    let wanted = std::env::var("READER").unwrap_or_default();
    let found = all.iter().find(|target| target.name == wanted);
    let Some(target) = found.copied() else {
        eprintln!("READER must be one of {names:?}; it is {wanted:?}");
        std::process::exit(1);
    };
    if let Some(seeds) = std::env::var_os("SEEDS") {
        let seeds = std::path::PathBuf::from(seeds);
        std::fs::create_dir_all(&seeds).expect("SEEDS can be created");
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(seeds.join(format!("sound-{number}")), seed).expect("SEEDS is writable");
        }
    }
    target
}

fuzz_target!(
    init: {
        READER.get_or_init(choose);
    },
    |bytes: &[u8]| {
        (READER.get_or_init(choose).read)(bytes);
    }
);
