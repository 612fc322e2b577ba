//! The log of a node that is stopped. Nothing is written to its directory.

use serde_json::{Value, json};

use super::args::LogCommand;
use super::failure::Failure;
use super::screen::{Screen, count, facts};
use crate::codec;
use crate::entry::{EntryReader, Item};
use crate::error::Error;
use crate::member::{Members, display_id};
use crate::offline::Opened;
use crate::raft::{Content, content};
use crate::storage::fs::OverlayFs;
use crate::storage::wal::{LogEntry, LogId};

/// The most bytes of a command that are shown.
const MAX_BYTES_SHOWN: usize = 64 << 10;

pub(super) fn log(command: &LogCommand, screen: &mut Screen) -> Result<(), Failure> {
    match command {
        LogCommand::Verify { data_dir } => {
            let opened = Opened::open(&OverlayFs::default(), data_dir)?;
            verify(&opened, screen)
        }
        LogCommand::Dump {
            data_dir,
            from,
            to,
            payloads,
        } => {
            let opened = Opened::open(&OverlayFs::default(), data_dir)?;
            let last = to.unwrap_or(u64::MAX);
            opened.entries(*from, &mut |entry| {
                if entry.id.index > last {
                    return Ok(false);
                }
                dump(&entry, *payloads, screen)?;
                Ok(true)
            })?;
            Ok(())
        }
    }
}

fn verify(opened: &Opened, screen: &mut Screen) -> Result<(), Failure> {
    let snapshot = opened.snapshot.as_ref();
    if let Some(file) = snapshot {
        let whole = file.verify();
        whole.map_err(|error| Failure::Damaged(error.to_string()))?;
    }
    let bar = screen.bar("reading", 0);
    let scan = opened.scan(&mut |bytes| bar.advance(bytes))?;
    drop(bar);
    let identity = opened.identity;
    let cluster = identity.cluster_id.map(|id| format!("{id:032x}"));
    let id = |id: LogId| json!({ "term": id.term, "index": id.index });
    let vote = opened.vote();
    let found = json!({
        "node_id": display_id(identity.node_id),
        "cluster_id": cluster,
        "snapshot": snapshot.map(|file| json!({ "last": id(file.last), "bytes": file.bytes })),
        "entries": scan.entries,
        "bytes": scan.bytes,
        "first_index": scan.first,
        "last": opened.last().map(id),
        "committed": opened.committed().map(id),
        "voted_in_term": vote.map(|vote| vote.term),
    });
    if screen.say_json(&found) {
        return Ok(());
    }
    let at = |id: LogId| format!("term {}, index {}", id.term, count(id.index));
    let none = || "none".to_owned();
    let log = match (scan.first, opened.log().last) {
        (Some(first), Some(last)) => format!(
            "{} entries, index {} to {}, {} bytes",
            count(scan.entries),
            count(first),
            count(last.index),
            count(scan.bytes)
        ),
        _ => none(),
    };
    let file = snapshot.map(|file| format!("{}, {} bytes", at(file.last), count(file.bytes)));
    screen.say(facts(&[
        ("node", display_id(identity.node_id)),
        ("cluster", cluster.unwrap_or_else(none)),
        ("snapshot", file.unwrap_or_else(none)),
        ("log", log),
        ("last entry", opened.last().map_or_else(none, at)),
        ("committed", opened.committed().map_or_else(none, at)),
        (
            "voted in",
            vote.map_or_else(none, |vote| format!("term {}", vote.term)),
        ),
    ]));
    screen.say("every byte that counts is what was written");
    Ok(())
}

fn dump(entry: &LogEntry, payloads: bool, screen: &mut Screen) -> Result<(), Error> {
    let unreadable = |error: &dyn std::error::Error| {
        Error::fatal(format!("log entry {}: {error}", entry.id.index))
    };
    let items = match content(entry).map_err(|error| unreadable(&error))? {
        Content::Blank => vec![json!({ "blank": true })],
        Content::Members(members) => vec![json!({ "members": names(&members) })],
        Content::Batch(bytes) => {
            let mut reader = EntryReader::new(bytes).map_err(|error| unreadable(&error))?;
            let mut items = Vec::new();
            while let Some(item) = reader.next_item().map_err(|error| unreadable(&error))? {
                items.push(describe(&item, payloads));
            }
            items
        }
    };
    if screen.json {
        let LogId { term, index } = entry.id;
        let bytes = entry.payload.len();
        let line = json!({ "index": index, "term": term, "bytes": bytes, "items": items });
        screen.say(line);
        return Ok(());
    }
    let bytes = count(entry.payload.len() as u64);
    screen.say(format!(
        "index {}, term {}, {bytes} bytes",
        entry.id.index, entry.id.term
    ));
    for item in &items {
        screen.say(format!("  {}", line(item)));
    }
    Ok(())
}

fn names(members: &Members) -> Value {
    let nodes = members.nodes.iter().map(|(id, info)| {
        let role = if members.is_voter(*id) {
            "voter"
        } else {
            "learner"
        };
        format!("{} {role} at {}", display_id(*id), info.address)
    });
    nodes.collect::<Vec<_>>().into()
}

/// An item as a person reads it: its word first, then its fields.
fn line(item: &Value) -> String {
    let Some(fields) = item.as_object() else {
        return item.to_string();
    };
    let texts = fields.iter().map(|(name, value)| match value {
        Value::Bool(true) => name.clone(),
        Value::String(text) => format!("{name} {text}"),
        Value::Array(all) => {
            let all = all.iter().filter_map(Value::as_str);
            format!("{name} {}", all.collect::<Vec<_>>().join(", "))
        }
        other => format!("{name} {other}"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// What an item does. What a command says is left out unless it is asked for: it is the users' data.
fn describe(item: &Item, payloads: bool) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match item {
        Item::Command {
            session,
            sequence,
            fence,
            service,
            payload,
            ..
        } => {
            let method = codec::variant_name(payload).unwrap_or_default();
            let mut shown = json!({
                "command": format!("{}.{method}", text(service)),
                "session": session,
                "sequence": sequence,
                "payload_bytes": payload.len(),
            });
            if let Some(term) = fence {
                shown["fenced_in_term"] = json!(term.get());
            }
            if payloads {
                let shortened = &payload[..payload.len().min(MAX_BYTES_SHOWN)];
                let digits = shortened.iter().map(|byte| format!("{byte:02x}"));
                shown["payload"] = json!(digits.collect::<String>());
            }
            shown
        }
        Item::OpenSession => json!({ "open_session": true }),
        Item::CloseSession { session } => json!({ "close_session": session }),
        Item::SeedSettings { settings } => json!({ "first_settings_bytes": settings.len() }),
        Item::ChangeSettings { changes } => json!({ "change_settings": text(changes) }),
        Item::NoteRemoval { node_id, removal } => json!({
            "removal_of": display_id(*node_id), "why": format!("{removal:?}"),
        }),
        Item::Tick => json!({ "tick": true }),
        Item::DigestMark => json!({ "comparison_of_states": true }),
        Item::DigestReport { node_id, mark, .. } => json!({
            "digests_of": display_id(*node_id), "at_index": mark,
        }),
        Item::ClearPanics { service, method } => json!({
            "clear_panics": format!("{}.{}", text(service), text(method)),
        }),
        Item::SkipPanicked { index, ordinal } => json!({
            "without_effect_since_it_panicked": format!("index {index}, place {ordinal}"),
        }),
        Item::ActivateVersions { versions } => json!({ "activate_versions_bytes": versions.len() }),
    }
}
