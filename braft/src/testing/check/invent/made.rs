//! What functions of the user's make, by the way it travels.
//!
//! Types are told apart by their names: serde asks for a part by its type, which need not be one
//! that lives on. A name that two types share does no harm: what is made is read as the part is.

use serde::de::{DeserializeSeed, Visitor};

use super::refused::Refused;
use crate::codec;
use crate::context::Rng;
use crate::generator::{Generator, Makes};

const OPTION: &str = "core::option::Option<";
/// What travels as what is inside.
const TRANSPARENT: [&str; 3] = ["alloc::boxed::Box<", "alloc::rc::Rc<", "alloc::sync::Arc<"];

/// What makes one argument.
pub(super) fn of_argument(
    generators: &'static [Generator],
    method: &str,
    argument: &str,
) -> Option<&'static Generator> {
    generators.iter().find(|generator| match generator.makes {
        Makes::Argument {
            method: of,
            argument: name,
        } => of == method && name == argument,
        Makes::Type(_) => false,
    })
}

/// What makes values of a type, wherever they are.
pub(super) fn of_type(
    generators: &'static [Generator],
    type_name: &str,
) -> Option<&'static Generator> {
    let named = |wanted: &str| {
        generators.iter().find(|generator| match generator.makes {
            Makes::Type(name) => name() == wanted,
            Makes::Argument { .. } => false,
        })
    };
    let mut inside = Some(type_name);
    while let Some(name) = inside {
        if let Some(generator) = named(name) {
            return Some(generator);
        }
        inside = TRANSPARENT.iter().find_map(|around| within(name, around));
    }
    None
}

/// What makes the value in an option.
pub(super) fn in_option(
    generators: &'static [Generator],
    option: &str,
) -> Option<&'static Generator> {
    of_type(generators, within(option, OPTION)?)
}

/// The type in options and what is transparent around it.
pub(super) fn core_of(type_name: &str) -> &str {
    let mut name = type_name;
    let around = || TRANSPARENT.iter().chain([&OPTION]);
    while let Some(inside) = around().find_map(|around| within(name, around)) {
        name = inside;
    }
    name
}

fn within<'n>(type_name: &'n str, around: &str) -> Option<&'n str> {
    type_name.strip_prefix(around)?.strip_suffix('>')
}

/// Makes a part.
pub(super) fn part<'de, S: DeserializeSeed<'de>>(
    generator: &Generator,
    rng: &mut Rng,
    seed: S,
) -> Result<S::Value, Refused> {
    codec::decode_seed(&make(generator, rng)?, seed).map_err(unreadable)
}

/// Makes what is in an option.
pub(super) fn some<'de, V: Visitor<'de>>(
    generator: &Generator,
    rng: &mut Rng,
    visitor: V,
) -> Result<V::Value, Refused> {
    codec::decode_some(&make(generator, rng)?, visitor).map_err(unreadable)
}

fn make(generator: &Generator, rng: &mut Rng) -> Result<Vec<u8>, Refused> {
    let bytes = (generator.make)(rng).into_bytes();
    bytes.map_err(|error| Refused::because(error.to_string()))
}

fn unreadable(error: rmp_serde::decode::Error) -> Refused {
    Refused::because(format!("what was made does not read back: {error}"))
}
