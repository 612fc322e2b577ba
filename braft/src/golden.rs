//! The bytes of log entries and messages, beside those that were committed.
//!
//! `tests/fixtures/VERSION/formats` holds a line for each: its name, and its bytes in hexadecimal
//! digits. Those of this version are compared byte for byte, and written anew with `BRAFT_BLESS=1`,
//! see `tests/cluster/golden.rs`; those of other versions are read.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::codec;
use crate::entry::{EntryReader, EntryWriter, Item};
use crate::machine::{SnapshotHeader, Versions};
use crate::member::{Members, NodeInfo, Removal};
use crate::settings::Settings;
use crate::wire::v1 as pb;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn entries() -> Vec<(&'static str, Item)> {
    let command = |fence| Item::Command {
        session: 65_536,
        sequence: 2,
        responded_to: 1,
        fence,
        key: None,
        service: Bytes::from_static(b"Counter"),
        payload: Bytes::from_static(b"\x81\xa3add\x81\xa2by\x02"),
    };
    let keyed = Item::Command {
        session: 65_536,
        sequence: 3,
        responded_to: 1,
        fence: None,
        key: Some(Bytes::from_static(b"5f1d")),
        service: Bytes::from_static(b"Counter"),
        payload: Bytes::from_static(b"\x81\xa3add\x81\xa2by\x02"),
    };
    let settings = codec::encode(&Settings::default()).expect("numbers");
    let versions = Versions([("Counter".to_owned(), 2)].into());
    vec![
        ("entry.command", command(None)),
        ("entry.fenced_command", command(NonZeroU64::new(3))),
        ("entry.keyed_command", keyed),
        ("entry.open_session", Item::OpenSession),
        (
            "entry.close_session",
            Item::CloseSession { session: 65_536 },
        ),
        (
            "entry.seed_settings",
            Item::SeedSettings {
                settings: settings.into(),
            },
        ),
        (
            "entry.note_removal",
            Item::NoteRemoval {
                node_id: 9,
                removal: Removal::Dead,
            },
        ),
        ("entry.tick", Item::Tick),
        ("entry.digest_mark", Item::DigestMark),
        (
            "entry.digest_report",
            Item::DigestReport {
                node_id: 9,
                mark: 60,
                digests: vec![(Bytes::from_static(b"Counter#1"), 5)],
            },
        ),
        (
            "entry.clear_panics",
            Item::ClearPanics {
                service: Bytes::from_static(b"Counter"),
                method: Bytes::from_static(b"add"),
            },
        ),
        (
            "entry.skip_panicked",
            Item::SkipPanicked {
                index: 70,
                ordinal: 3,
            },
        ),
        (
            "entry.activate_versions",
            Item::ActivateVersions {
                versions: codec::encode(&versions).expect("names and numbers").into(),
            },
        ),
        (
            "entry.change_settings",
            Item::ChangeSettings {
                changes: Bytes::from_static(br#"{"max_sessions":9}"#),
            },
        ),
    ]
}

fn members() -> Members {
    let info = NodeInfo {
        name: "one".to_owned(),
        name_is_chosen: true,
        address: "127.0.0.1:15000".to_owned(),
        http_address: String::new(),
    };
    Members {
        configs: vec![[1].into()],
        nodes: [(1, info)].into(),
    }
}

fn envelope() -> Option<pb::Envelope> {
    Some(pb::Envelope {
        cluster_id: Bytes::from_static(&[7; 16]),
        from: 1,
        to: 2,
        incarnation: 3,
    })
}

fn handshake() -> pb::HandshakeRequest {
    pb::HandshakeRequest {
        cluster_id: Bytes::from_static(&[7; 16]),
        cluster_name: "golden".to_owned(),
        node_id: 1,
        incarnation: 3,
        address: "127.0.0.1:15000".to_owned(),
        version: "0.1.0".to_owned(),
        protocol: 1,
        about: Some(pb::About {
            name: "one".to_owned(),
            name_is_chosen: true,
            http_address: "127.0.0.1:15002".to_owned(),
            services: vec![pb::ServiceVersion {
                name: "Counter".to_owned(),
                version: 2,
            }],
            build: pb::Build::Checked.into(),
        }),
        progress: Some(pb::Progress {
            vote_term: 4,
            last_index: 5,
        }),
        starts: 6,
        oldest_protocol: 1,
    }
}

fn append() -> pb::AppendRequest {
    pb::AppendRequest {
        envelope: envelope(),
        vote: Some(pb::Vote {
            term: 4,
            voted_for: Some(1),
            committed: true,
        }),
        prev: Some(pb::LogId { term: 3, index: 8 }),
        leader_commit: Some(pb::LogId { term: 3, index: 7 }),
        entries: vec![pb::Entry {
            term: 4,
            index: 9,
            kind: 1,
            payload: Bytes::from_static(b"batch"),
        }],
    }
}

/// Everything that is compared, by name.
fn formats() -> BTreeMap<String, Vec<u8>> {
    let mut formats = BTreeMap::new();
    for (name, item) in entries() {
        let mut entry = EntryWriter::new(Duration::from_secs(1), 5);
        entry.push(&item);
        formats.insert(name.to_owned(), entry.finish().to_vec());
    }
    let mut add = |name: &str, bytes: Vec<u8>| formats.insert(name.to_owned(), bytes);
    add("members", codec::encode(&members()).expect("names"));
    add("message.handshake", handshake().encode_to_vec());
    add("message.append", append().encode_to_vec());
    formats
}

/// Reads what an older or this version wrote, as this one would from a peer or a disk.
fn read(name: &str, bytes: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
    if name.starts_with("entry.") {
        let mut reader = EntryReader::new(bytes.into())?;
        assert!(reader.next_item()?.is_some() && reader.next_item()?.is_none());
    } else if name == "members" {
        assert!(codec::decode::<Members>(&bytes)?.is_voter(1));
    } else if name == "message.handshake" {
        assert_eq!(pb::HandshakeRequest::decode(&bytes[..])?.protocol, 1);
    } else {
        let append = pb::AppendRequest::decode(&bytes[..])?;
        assert_eq!(append.entries.len(), 1);
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &str) -> Vec<u8> {
    let bytes = (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16));
    bytes.collect::<Result<_, _>>().expect("hexadecimal digits")
}

fn stored(file: &Path) -> BTreeMap<String, Vec<u8>> {
    let text =
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text
        .lines()
        .map(|line| line.split_once(' ').expect("a name and digits"));
    lines
        .map(|(name, digits)| (name.to_owned(), from_hex(digits)))
        .collect()
}

#[test]
fn golden_formats_are_those_committed_and_older_ones_are_still_read() {
    let version = concat!(
        env!("CARGO_PKG_VERSION_MAJOR"),
        ".",
        env!("CARGO_PKG_VERSION_MINOR")
    );
    let own = fixtures().join(version).join("formats");
    let now = formats();
    if std::env::var_os("BRAFT_BLESS").is_some() {
        let lines = now
            .iter()
            .map(|(name, bytes)| format!("{name} {}\n", hex(bytes)));
        std::fs::create_dir_all(own.parent().expect("a folder")).expect("made");
        std::fs::write(&own, lines.collect::<String>()).expect("written");
    }
    let before = stored(&own);
    for (name, bytes) in &now {
        let before = before.get(name).map(|bytes| hex(bytes));
        let text =
            "the bytes have changed; if no release had the old ones, run this with BRAFT_BLESS=1";
        assert_eq!(before, Some(hex(bytes)), "{name}: {text}");
    }
    for version in std::fs::read_dir(fixtures()).expect("fixtures") {
        let file = version.expect("a folder").path().join("formats");
        for (name, bytes) in stored(&file) {
            if let Err(error) = read(&name, bytes) {
                panic!("{name} in {}: {error}", file.display());
            }
        }
    }
}

/// A header as builds before the active versions wrote it.
#[test]
fn golden_snapshot_headers_without_later_fields_are_read() {
    #[derive(serde::Serialize)]
    struct First {
        cluster_id: String,
        written_by: String,
        applied: Option<(u64, u64)>,
        members: crate::member::StoredMembers,
        removed: crate::machine::RemovedNodes,
        clock: Duration,
        settings: Settings,
        seeded: bool,
        services: Vec<String>,
    }
    let first = First {
        cluster_id: "7".repeat(32),
        written_by: "0.1.0".to_owned(),
        applied: Some((1, 2)),
        members: Default::default(),
        removed: Default::default(),
        clock: Duration::from_secs(1),
        settings: Settings::default(),
        seeded: true,
        services: vec!["Counter".to_owned()],
    };
    let bytes = codec::encode(&first).expect("data");
    let read = codec::decode::<SnapshotHeader>(&bytes).expect("still read");
    assert_eq!(read.applied, Some((1, 2)));
    assert!(!read.versions.are_agreed());
}
