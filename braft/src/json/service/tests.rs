use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::*;
use crate::{Context, raft_service};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Color {
    Red,
    Mixed { red: u8, blue: u8 },
    Of(String, u32),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Place {
    x: i32,
    y: i32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Moved {
    to: Place,
}

type Answer<T> = Result<T, Color>;

#[raft_service(crate = crate)]
#[derive(Default, Serialize, Deserialize)]
struct Board {
    colors: BTreeMap<u64, u64>,
}

#[raft_service(crate = crate)]
impl Board {
    fn paint(
        &mut self,
        context: &mut Context<Moved>,
        color: Color,
        at: BTreeMap<Place, u64>,
        by: Option<IpAddr>,
    ) -> Answer<BTreeMap<Place, u64>> {
        let to = at.keys().next().cloned();
        context.emit(Moved {
            to: to.unwrap_or(Place { x: 0, y: 0 }),
        });
        let _ = by;
        if color == Color::Red {
            Ok(at)
        } else {
            Err(color)
        }
    }

    fn clear(&mut self) {}

    fn sum(&self, of: &[u64], times: u128, bytes: Vec<u8>, exactly: bool) -> (u64, usize) {
        let _ = (times, exactly);
        (of.iter().sum(), bytes.len())
    }
}

fn board() -> JsonService {
    JsonService::of::<Board>()
}

/// The MessagePack form of a call, and that of the same call made in JSON.
fn both<T: Serialize>(method: &str, json: &str, call: &T) -> (Vec<u8>, Result<Vec<u8>, String>) {
    let board = board();
    let operation = board.operation(method).expect("known");
    let read = operation.read(Arguments::Object(json.as_bytes()));
    (codec::encode(call).unwrap(), read)
}

type Command = <Board as Service>::Command;
type Query = <Board as Service>::Query;

#[test]
fn a_call_in_json_is_the_call_of_a_typed_client() {
    let at = BTreeMap::from([(Place { x: -1, y: 2 }, u64::MAX)]);
    let typed = Command::paint {
        color: Color::Mixed { red: 1, blue: 2 },
        at,
        by: Some([10, 0, 0, 1].into()),
    };
    let json = r#"{"color":{"Mixed":{"red":1,"blue":2}},"by":"10.0.0.1",
                   "at":[[{"x":-1,"y":2},18446744073709551615]]}"#;
    let (typed, read) = both("paint", json, &typed);
    assert_eq!(read.unwrap(), typed);

    let typed = Query::sum {
        of: vec![9_007_199_254_740_993],
        times: u128::MAX,
        bytes: vec![0, 255],
        exactly: true,
    };
    let json = format!(
        r#"{{"of":[9007199254740993],"times":{},"bytes":[0,255],"exactly":true}}"#,
        u128::MAX
    );
    let (typed, read) = both("sum", &json, &typed);
    assert_eq!(read.unwrap(), typed);
    let flat = [
        ("of", "[9007199254740993]"),
        ("times", "340282366920938463463374607431768211455"),
        ("bytes", "[0,255]"),
        ("exactly", "true"),
    ];
    let flat = flat.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let board = board();
    let sum = board.operation("sum").expect("known");
    assert_eq!(sum.read(Arguments::Flat(&flat)).unwrap(), typed);
}

#[test]
fn what_is_wrong_with_arguments_is_said() {
    let cases = [
        ("clear", "[]", "not a JSON object"),
        ("clear", "{} {}", "trailing characters"),
        ("clear", r#"{"all":true}"#, "unknown name `all`"),
        ("sum", "{}", "missing field `of`"),
        (
            "sum",
            r#"{"off":[]}"#,
            "unknown name `off`, and missing field `of`",
        ),
        ("sum", r#"{"of":[-1]}"#, "expected u64"),
        ("sum", r#"{"of":[1],"of":[1]}"#, "duplicate field `of`"),
        ("paint", r#"{"color":"Blue"}"#, "unknown variant `Blue`"),
        (
            "paint",
            r#"{"color":"Red","at":[[{"x":1,"y":2,"z":3},1]]}"#,
            "unknown name `at.0.0.z`",
        ),
        (
            "paint",
            r#"{"color":"Red","at":[[[1,2],1]]}"#,
            "invalid type: sequence, expected struct Place",
        ),
    ];
    let board = board();
    for (method, json, expected) in cases {
        let operation = board.operation(method).expect("known");
        let why = operation
            .read(Arguments::Object(json.as_bytes()))
            .unwrap_err();
        assert!(why.contains(expected), "{json}: {why}");
    }
    for empty in ["", " ", "{}"] {
        let clear = board.operation("clear").expect("known");
        clear
            .read(Arguments::Object(empty.as_bytes()))
            .expect("no arguments");
    }
}

#[test]
fn answers_and_events_are_written_through_their_types() {
    let board = board();
    let paint = board.operation("paint").expect("known");
    let text = |form: Form, bytes: &[u8]| {
        let written = form.write(bytes, Outcome::Applied).unwrap();
        (String::from_utf8(written.json).unwrap(), written.is_err)
    };
    let answer = Answer::Ok(BTreeMap::from([(Place { x: 1, y: 2 }, u64::MAX)]));
    let bytes = codec::encode(&answer).unwrap();
    let expected = r#"[[{"x":1,"y":2},18446744073709551615]]"#;
    assert_eq!(text(paint.answer, &bytes), (expected.to_owned(), false));
    let answer = Answer::<BTreeMap<Place, u64>>::Err(Color::Of("a".to_owned(), 1));
    let bytes = codec::encode(&answer).unwrap();
    assert_eq!(
        text(paint.answer, &bytes),
        (r#"{"Of":["a",1]}"#.to_owned(), true)
    );
    let bytes = codec::encode(&Moved {
        to: Place { x: 1, y: 2 },
    })
    .unwrap();
    let event = board.event.expect("it emits");
    assert_eq!(text(event, &bytes).0, r#"{"to":{"x":1,"y":2}}"#);
    let refused = event.write(b"\xc0", Outcome::NotApplied).unwrap_err();
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    assert!(
        JsonService::of::<crate::distribute::WorkLists>()
            .event
            .is_none()
    );
}
