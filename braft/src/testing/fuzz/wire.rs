//! What other processes send.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::cluster::formation;
use crate::codec;
use crate::entry::{EntryReader, EntryWriter, Item};
use crate::member::Removal;
use crate::raft::network;
use crate::wire::{convert, events, v1 as pb};

pub(super) fn entries() -> Vec<Vec<u8>> {
    let mut writer = EntryWriter::new(Duration::from_secs(7), 9);
    for item in [
        Item::Command {
            session: 5,
            sequence: 2,
            responded_to: 1,
            fence: None,
            key: Some(Bytes::from_static(b"key")),
            service: Bytes::from_static(b"Counter"),
            payload: Bytes::from_static(b"\x81\xa3add\x81\xa2by\x02"),
        },
        Item::OpenSession,
        Item::CloseSession { session: 5 },
        Item::NoteRemoval {
            node_id: 9,
            removal: Removal::Dead,
        },
        Item::DigestReport {
            node_id: 9,
            mark: 4,
            digests: vec![(Bytes::from_static(b"clock"), 1), (Bytes::new(), 2)],
        },
        Item::ClearPanics {
            service: Bytes::from_static(b"Counter"),
            method: Bytes::from_static(b"add"),
        },
        Item::SkipPanicked {
            index: 3,
            ordinal: 1,
        },
        Item::ActivateVersions {
            versions: Bytes::from_static(b"\x80"),
        },
    ] {
        writer.push(&item);
    }
    vec![writer.finish().to_vec()]
}

pub(super) fn read_entry(bytes: &[u8]) -> bool {
    let Ok(mut reader) = EntryReader::new(Bytes::copy_from_slice(bytes)) else {
        return false;
    };
    loop {
        match reader.next_item() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

pub(super) fn messages() -> Vec<Vec<u8>> {
    network::fuzz::messages()
}

pub(super) fn read_messages(bytes: &[u8]) -> bool {
    network::fuzz::read(bytes)
}

pub(super) fn frames() -> Vec<Vec<u8>> {
    let request = pb::CallRequest {
        id: 1,
        service: "Counter".to_owned(),
        payload: Bytes::from_static(b"\x81\xa3add\x81\xa2by\x02"),
        remaining_ms: 100,
        operation: Some(pb::call_request::Operation::Command(pb::Command {
            session: 5,
            sequence: 1,
            ..pb::Command::default()
        })),
        ..pb::CallRequest::default()
    };
    let calls = pb::CallFrame {
        cluster_id: Bytes::from(vec![3; 16]),
        requests: vec![request.clone(), request],
    };
    let answers = pb::AnswerFrame {
        answers: vec![pb::CallAnswer::default(); 2],
        ..pb::AnswerFrame::default()
    };
    let wanted = pb::EventsRequest {
        service: "Counter".to_owned(),
        since: Some(pb::events_request::Since::Latest(pb::LatestEvent {})),
        ..pb::EventsRequest::default()
    };
    let told = pb::EventsFrame {
        events: vec![pb::Event::default(); 2],
        ..pb::EventsFrame::default()
    };
    vec![
        calls.encode_to_vec(),
        answers.encode_to_vec(),
        wanted.encode_to_vec(),
        told.encode_to_vec(),
    ]
}

pub(super) fn read_frames(bytes: &[u8]) -> bool {
    let mut is_sound = false;
    if let Ok(frame) = pb::CallFrame::decode(bytes) {
        is_sound |= convert::cluster_id_if_any(&frame.cluster_id).is_ok();
        for request in frame.requests {
            is_sound |= convert::action_from(request.operation).is_ok();
        }
    }
    if let Ok(frame) = pb::AnswerFrame::decode(bytes) {
        for answer in frame.answers {
            is_sound |= convert::answer_from(answer).1.result.is_ok();
        }
    }
    if let Ok(request) = pb::EventsRequest::decode(bytes) {
        is_sound |= events::since_from(request.since).is_ok();
    }
    if let Ok(frame) = pb::EventsFrame::decode(bytes) {
        is_sound |= events::frame_from(frame).is_ok();
    }
    is_sound
}

pub(super) fn formations() -> Vec<Vec<u8>> {
    let address: crate::PeerAddress = "[::1]:15000".parse().expect("an address");
    let sender = formation::Hello {
        node_id: 7,
        cluster_name: "test".to_owned(),
        address: address.clone(),
        cluster_id: Some(u128::MAX),
        expect: Some(3),
        promised: true,
        floor: 4,
        choice: [1, 2, 3].into(),
        knows: [address.clone()].into(),
    };
    let proposal = formation::Proposal {
        members: [(1, address.clone()), (2, address)].into(),
        attempt: 2,
    };
    let bodies = [
        formation::Body::Probe,
        formation::Body::Promise(proposal.clone()),
        formation::Body::Refused {
            proposal,
            reason: formation::Refusal::Bound,
        },
    ];
    let messages = bodies.map(|body| {
        let sender = sender.clone();
        codec::encode(&formation::Message { sender, body }).expect("it has a form")
    });
    messages.into()
}

pub(super) fn read_formation(bytes: &[u8]) -> bool {
    codec::decode::<formation::Message>(bytes).is_ok()
}

/// A type as users have them, with some of everything.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Value {
    number: Option<i64>,
    text: String,
    bytes: Vec<u8>,
    pair: (u8, f64),
    by_name: BTreeMap<String, Vec<Shape>>,
    by_place: BTreeMap<(i32, i32), bool>,
    inner: Option<Box<Value>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(u32),
    Box { width: u64, height: u64 },
}

pub(super) fn values() -> Vec<Vec<u8>> {
    let shapes = vec![
        Shape::Point,
        Shape::Circle(3),
        Shape::Box {
            width: 1,
            height: u64::MAX,
        },
    ];
    let inner = Value {
        number: Some(-3),
        text: "text".to_owned(),
        bytes: vec![1, 2, 3],
        pair: (4, 0.5),
        by_name: [("some".to_owned(), shapes)].into(),
        by_place: [((1, -1), true)].into(),
        inner: None,
    };
    let outer = Value {
        inner: Some(Box::new(inner)),
        ..Value::default()
    };
    vec![codec::encode(&outer).expect("it has a form")]
}

pub(super) fn read_value(bytes: &[u8]) -> bool {
    let Ok(value) = codec::decode::<Value>(bytes) else {
        return false;
    };
    // What was read can be written, and is then read as the same (but that no number is itself).
    let again = codec::encode(&value).expect("it has a form");
    let again: Value = codec::decode(&again).expect("it was written by us");
    assert!(again == value || bytes.contains(&0xcb) || bytes.contains(&0xca));
    true
}
