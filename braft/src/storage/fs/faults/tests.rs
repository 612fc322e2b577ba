use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const FILE: &str = "/node/log/file";

fn write(fs: &FaultFs, path: &str, bytes: &[u8]) -> io::Result<Arc<dyn FsFile>> {
    let file = fs.open(Path::new(path), Mode::Create)?;
    file.write_all_at(bytes, 0)?;
    Ok(file)
}

#[test]
fn a_machine_that_has_crashed_reaches_its_disk_no_more() {
    let disk = FaultFs::new();
    let before = disk.of_this_life();
    let file = write(&before, FILE, b"first").expect("written");
    file.sync_all().expect("synced");
    disk.sync_dir(Path::new("/node/log")).expect("synced");
    disk.crash(0);
    assert!(file.sync_data().is_err());
    assert!(before.open(Path::new(FILE), Mode::Create).is_err());
    assert!(before.remove(Path::new(FILE)).is_err());
    assert!(before.list(Path::new("/node/log")).is_err());
    let after = disk.of_this_life();
    assert!(after.exists(Path::new(FILE)).expect("asked"));
    assert_eq!(
        disk.content(Path::new(FILE)).as_deref(),
        Some(&b"first"[..])
    );
}

#[test]
fn a_crash_comes_at_its_step_and_cuts_all_else() {
    let disk = FaultFs::new();
    let is_cut = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&is_cut);
    let then = move || cut.store(true, Ordering::Relaxed);
    disk.crash_at((Step::Sync, "log"), 1, 0, then);
    // Another directory, another step, and the sync before.
    let elsewhere = write(&disk, "/node/snapshots/file", b"other").expect("written");
    elsewhere.sync_all().expect("synced");
    let file = write(&disk, FILE, b"first").expect("written");
    file.sync_data().expect("synced");
    disk.sync_dir(Path::new("/node/log")).expect("synced");
    assert!(disk.step_is_due() && !is_cut.load(Ordering::Relaxed));
    file.write_all_at(b"second", 0).expect("written");
    assert!(file.sync_data().is_err());
    assert!(!disk.step_is_due() && is_cut.load(Ordering::Relaxed));
    assert_eq!(
        disk.content(Path::new(FILE)).as_deref(),
        Some(&b"first"[..])
    );
}

#[test]
fn some_of_what_was_not_synced_has_a_wrong_bit_and_none_of_what_was() {
    let mut garbled = 0;
    for seed in 1..200 {
        let disk = FaultFs::new();
        let file = write(&disk, FILE, &[7; 4096]).expect("written");
        file.sync_all().expect("synced");
        disk.sync_dir(Path::new("/node/log")).expect("synced");
        file.write_all_at(&[7; 4096], 4096).expect("written");
        disk.crash(seed);
        let content = disk.content(Path::new(FILE)).expect("it is there");
        let (synced, torn) = content.split_at(4096);
        assert_eq!(synced, [7; 4096]);
        garbled += torn.iter().filter(|byte| **byte == 6).count();
    }
    assert!(garbled > 0);
}

#[test]
fn a_wiped_disk_is_empty() {
    let disk = FaultFs::new();
    write(&disk, FILE, b"first").expect("written");
    disk.wipe();
    assert!(!disk.exists(Path::new(FILE)).expect("asked"));
    disk.crash(7);
    assert!(!disk.exists(Path::new(FILE)).expect("asked"));
}

#[test]
fn what_is_laid_at_a_file_happens_as_it_is_named_and_the_disk_is_well() {
    let disk = FaultFs::new();
    let is_done = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&is_done);
    let then = move || done.store(true, Ordering::Relaxed);
    disk.at_step((Step::Rename, "promise"), then);
    let name = |name: &str| {
        let temporary = Path::new("/node/file.tmp");
        write(&disk, "/node/file.tmp", b"first")?;
        disk.rename(temporary, &Path::new("/node").join(name))
    };
    name("other").expect("named");
    assert!(disk.step_is_due() && !is_done.load(Ordering::Relaxed));
    name("promise").expect("named");
    assert!(!disk.step_is_due() && is_done.load(Ordering::Relaxed));
    assert!(disk.exists(Path::new("/node/promise")).expect("asked"));
}
