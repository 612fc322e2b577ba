//! What is invented, what is made, and what cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::*;
use crate::generator::{Generated, Makes, generated};

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Point,
    Circle(u8),
    Box(u8, i64),
    Named {
        name: String,
        tags: Vec<Option<char>>,
    },
}

#[derive(Debug, Deserialize)]
struct Everything {
    shape: Shape,
    map: BTreeMap<String, (bool, f32)>,
    bytes: Vec<u8>,
    address: IpAddr,
    least: NonZeroU8,
    time: Duration,
    nested: Option<Box<Everything>>,
}

#[test]
fn all_kinds_of_types_are_invented_and_vary() {
    let mut rng = Rng::new(7, 0);
    let shapes: BTreeSet<Shape> = (0..200)
        .map(|_| invent(&mut rng).expect("a shape"))
        .collect();
    let kinds: BTreeSet<_> = shapes
        .iter()
        .map(std::mem::discriminant)
        .map(|kind| format!("{kind:?}"))
        .collect();
    assert_eq!(kinds.len(), 4);
    let deep = (0..200).map(|_| invent::<Everything>(&mut rng).expect("everything"));
    let nested = deep.filter(|all| {
        assert!(all.least.get() > 0 && all.map.len() <= 3 && all.bytes.len() <= 16);
        let _ = (&all.shape, all.address, all.time);
        all.nested.is_some()
    });
    assert!(nested.count() > 10);
}

#[test]
fn values_collide() {
    let mut rng = Rng::new(1, 0);
    let keys: BTreeSet<String> = (0..200).map(|_| invent(&mut rng).expect("text")).collect();
    assert!(keys.len() < 20, "{keys:?}");
}

#[test]
fn one_seed_invents_the_same_again() {
    let draw = |seed| {
        let mut rng = Rng::new(seed, 0);
        format!(
            "{:?}",
            (0..20)
                .map(|_| invent::<Shape>(&mut rng).expect("a shape"))
                .collect::<Vec<_>>()
        )
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
}

#[test]
fn a_type_that_cannot_be_invented_is_named() {
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Loose {
        #[expect(dead_code)]
        Text(String),
    }
    let error = invent::<Loose>(&mut Rng::new(1, 0)).expect_err("untagged");
    assert!(error.to_string().contains("Loose"), "{error}");

    #[derive(Debug, Deserialize)]
    enum Calls {
        #[serde(rename = "draw")]
        Draw {
            #[expect(dead_code)]
            shape: Loose,
        },
    }
    let error = invent_call::<Calls>(&mut Rng::new(1, 0), &[]).expect_err("untagged");
    let error = error.to_string();
    for part in [
        "Loose can be invented for the argument `shape` of `draw`",
        "generate = path",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_argument_is_made_by_the_function_that_is_named_for_it_alone() {
    #[derive(Debug, Deserialize)]
    enum Calls {
        Draw { size: u64, shape: Option<u64> },
        Move { size: u64 },
    }
    const LARGE: u64 = 1 << 40;
    let generators: &[Generator] = &[Generator {
        makes: Makes::Argument {
            method: "Draw",
            argument: "size",
        },
        make: |rng| generated(&(LARGE + rng.below(2))),
    }];
    let (mut drawn, mut rng) = (BTreeSet::new(), Rng::new(5, 0));
    for _ in 0..100 {
        match invent_call(&mut rng, generators).expect("a call") {
            Calls::Draw { size, shape } => {
                assert_ne!(shape, Some(LARGE));
                drawn.insert(size);
            }
            Calls::Move { size } => assert!(size < LARGE || size == u64::MAX),
        }
    }
    assert_eq!(drawn, BTreeSet::from([LARGE, LARGE + 1]));
}

/// Of all text next to nothing is one.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(try_from = "String", into = "String")]
struct Email(String);

impl TryFrom<String> for Email {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.contains('@') {
            return Ok(Email(text));
        }
        Err(format!("{text} is no address"))
    }
}

impl From<Email> for String {
    fn from(email: Email) -> String {
        email.0
    }
}

fn email(rng: &mut Rng) -> Generated {
    generated(&Email(format!("{}@a", rng.below(3))))
}

#[derive(Debug, Deserialize)]
enum Contact {
    Mail(Email),
    Both(u8, Email),
    Named { mail: Box<Email> },
}

type Copies = (Option<Option<Box<Email>>>, [Email; 2]);

#[derive(Debug, Deserialize)]
enum Mails {
    Send {
        to: Vec<Option<Email>>,
        copies: BTreeMap<Email, Copies>,
        contact: Option<Contact>,
    },
}

#[test]
fn a_type_is_made_by_its_function_wherever_it_is() {
    let generators: &[Generator] = &[Generator {
        makes: Makes::Type(type_name::<Email>),
        make: email,
    }];
    let (mut seen, mut rng) = (BTreeSet::new(), Rng::new(5, 0));
    for _ in 0..200 {
        let Mails::Send {
            to,
            copies,
            contact,
        } = invent_call(&mut rng, generators).expect("a call");
        let places = [
            ("to", to.into_iter().flatten().collect()),
            ("key", copies.keys().cloned().collect()),
            (
                "option",
                copies
                    .values()
                    .filter_map(|(mail, _)| mail.clone()?)
                    .map(|mail| *mail)
                    .collect(),
            ),
            (
                "array",
                copies.into_values().flat_map(|(_, both)| both).collect(),
            ),
            (
                "contact",
                Vec::from_iter(contact.map(|contact| match contact {
                    Contact::Mail(mail) => mail,
                    Contact::Both(times, mail) => {
                        assert!(times < 8 || times == u8::MAX);
                        mail
                    }
                    Contact::Named { mail } => *mail,
                })),
            ),
        ];
        let found = places
            .into_iter()
            .flat_map(|(place, mails): (_, Vec<Email>)| {
                mails.into_iter().map(move |mail| (place, mail))
            });
        seen.extend(found);
    }
    assert_eq!(seen.len(), 5 * 3, "{seen:?}");
}

#[test]
fn a_type_deep_inside_that_cannot_be_invented_is_named_with_the_way_out() {
    #[derive(Debug, Deserialize)]
    enum Calls {
        #[serde(rename = "send")]
        Send {
            #[expect(dead_code)]
            to: (u8, [Option<Box<Email>>; 32]),
        },
    }
    let error = invent_call::<Calls>(&mut Rng::new(1, 0), &[]).expect_err("no address");
    let error = error.to_string();
    for part in [
        "tests::Email can be invented for the argument `to` of `send`, which is a (u8, ",
        "generate(Email = path)",
        "is no address",
    ] {
        assert!(error.contains(part), "{error}");
    }
}
