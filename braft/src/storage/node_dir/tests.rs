use super::sealed::seal;
use super::*;
use crate::storage::fs::DiskFs;

fn open(path: &Path) -> Result<NodeDir, OpenNodeDirError> {
    NodeDir::open(Arc::new(DiskFs), path)
}

fn refusal(path: &Path) -> OpenNodeDirError {
    open(path).err().expect("is refused")
}

#[test]
fn keeps_its_identity_and_its_promise() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("deep/down");
    let id = {
        let node = open(&path).expect("opens");
        assert!(node.is_pristine());
        assert_ne!(node.node_id(), 0);
        assert_eq!(node.load_promise().expect("reads"), None);
        node.save_promise(b"one").expect("saves");
        node.save_promise(b"two").expect("saves");
        node.set_cluster_id(7).expect("sets");
        node.node_id()
    };
    let node = open(&path).expect("opens again");
    assert_eq!((node.node_id(), node.cluster_id()), (id, Some(7)));
    assert_eq!(
        node.load_promise().expect("reads").as_deref(),
        Some(&b"two"[..])
    );
    node.set_cluster_id(7).expect("the same id is no change");
    let refused = node.set_cluster_id(8).expect_err("another id is");
    assert!(refused.to_string().contains("cannot join"), "{refused}");
    assert_eq!(node.cluster_id(), Some(7));
}

#[test]
fn two_new_nodes_have_different_ids() {
    let (a, b) = (
        tempfile::tempdir().expect("a"),
        tempfile::tempdir().expect("b"),
    );
    let ids = [&a, &b].map(|dir| open(dir.path()).expect("opens").node_id());
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn names_the_process_that_uses_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(dir.path()).expect("opens");
    let error = refusal(dir.path()).to_string();
    assert!(error.contains(&dir.path().display().to_string()), "{error}");
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(first);
    open(dir.path()).expect("opens once it is free");
}

#[test]
fn refuses_every_damaged_byte_and_every_shorter_file() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()).expect("opens"));
    let file = dir.path().join(NODE);
    let whole = std::fs::read(&file).expect("reads");
    let flips = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    let cuts = (0..whole.len()).map(|end| whole[..end].to_vec());
    let longer = [whole.iter().copied().chain([0]).collect()];
    for bytes in flips.chain(cuts).chain(longer) {
        std::fs::write(&file, &bytes).expect("writes");
        let error = refusal(dir.path());
        assert!(matches!(error, OpenNodeDirError::Damaged { .. }), "{error}");
        assert!(
            error.to_string().contains("empty data directory"),
            "{error}"
        );
        assert_eq!(
            std::fs::read(&file).expect("reads"),
            bytes,
            "is left as it was"
        );
    }
    std::fs::write(&file, &whole).expect("writes");
    open(dir.path()).expect("opens");
}

#[test]
fn tells_a_newer_format_from_damage() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()).expect("opens"));
    let mut bytes = vec![1; 500];
    seal(&mut bytes, NODE_MAGIC);
    bytes[12..16].copy_from_slice(&9u32.to_le_bytes());
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(dir.path().join(NODE), &bytes).expect("writes");
    let error = refusal(dir.path()).to_string();
    assert!(error.contains("has format 9"), "{error}");
}

#[test]
fn refuses_data_whose_node_is_unknown() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path()).expect("opens").log_dir();
    std::fs::remove_file(dir.path().join(NODE)).expect("removes");
    open(dir.path()).expect("empty directories are no data");
    std::fs::remove_file(dir.path().join(NODE)).expect("removes");
    std::fs::write(log.join("0000000000000001.wal"), b"x").expect("writes");
    let error = refusal(dir.path()).to_string();
    assert!(error.contains("0000000000000001.wal"), "{error}");
    assert!(!dir.path().join(NODE).exists(), "no new identity was made");
}

#[test]
fn counts_its_starts() {
    let dir = tempfile::tempdir().expect("a directory");
    for starts in 1..=3 {
        let node = open(dir.path()).expect("opens");
        assert_eq!(node.count_start().expect("counts"), starts);
    }
    let file = dir.path().join(STARTS);
    let mut bytes = std::fs::read(&file).expect("reads");
    bytes[PREFIX] ^= 1;
    std::fs::write(&file, bytes).expect("writes");
    let node = open(dir.path()).expect("opens");
    let refused = node.count_start().expect_err("it is damaged");
    assert!(refused.to_string().contains("starts"), "{refused}");
}
