use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use serde::Deserialize;

use super::super::Schema;
use super::*;

fn text<T: DeserializeOwned>() -> String {
    let schema = Schema {
        service: "S".to_owned(),
        version: 1,
        migrates: None,
        parts: vec![Node {
            label: "t".to_owned(),
            ..shape::<T>()
        }],
    };
    let text = schema.to_string();
    text.lines().skip(2).collect::<Vec<_>>().join("\n")
}

#[expect(dead_code)]
#[derive(Deserialize)]
enum Tree {
    Leaf(u8),
    Fork(Box<Tree>, Box<Tree>),
    Named {
        left: Option<Box<Tree>>,
        note: String,
    },
}

#[test]
fn a_type_that_contains_itself_is_spelled_out_once() {
    let expected = "t: enum Tree\n  Leaf: u8\n  Fork: tuple of 2\n    0: again 1 up\n    \
                    1: again 1 up\n  Named: struct\n    left: option\n      some: again 1 up\n    \
                    note: string";
    assert_eq!(text::<Tree>(), expected);
}

#[expect(dead_code)]
#[derive(Deserialize)]
struct Everything {
    address: IpAddr,
    least: NonZeroU8,
    time: Duration,
    map: BTreeMap<String, (bool, Vec<char>)>,
    digits: [u8; 3],
    unit: (),
    last: Option<u64>,
}

#[test]
fn parts_of_all_kinds_are_found() {
    let text = text::<Everything>();
    assert!(!text.contains(UNTRACED), "{text}");
    for line in [
        "least: u8",
        "secs: u64",
        "digits: tuple of 3",
        "some: u64",
        "each: char",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn what_cannot_be_traced_says_so_and_costs_only_what_comes_behind_it() {
    #[derive(Deserialize)]
    struct Picky(#[expect(dead_code)] u64);
    impl Picky {
        fn checked(_: u64) -> Result<Self, &'static str> {
            Err("nothing will do")
        }
    }
    #[derive(Deserialize)]
    #[serde(try_from = "u64")]
    struct Refuses(#[expect(dead_code)] Picky);
    impl TryFrom<u64> for Refuses {
        type Error = &'static str;
        fn try_from(number: u64) -> Result<Self, Self::Error> {
            Picky::checked(number).map(Refuses)
        }
    }
    #[expect(dead_code)]
    #[derive(Deserialize)]
    struct Holder {
        before: u8,
        it: Refuses,
        behind: u8,
    }
    let expected = "t: struct Holder\n  before: u8\n  it: u64\n  behind: untraced";
    assert_eq!(text::<Holder>(), expected);
}
