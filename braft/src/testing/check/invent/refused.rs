//! Why a type cannot be invented, and what the user can do about it.

use std::any::type_name;
use std::fmt;

use serde::de;

use super::made::core_of;

/// A type cannot be invented.
#[derive(Debug)]
pub(in super::super) struct InventError {
    type_name: &'static str,
    refused: Refused,
}

impl InventError {
    pub(super) fn new<T>(refused: Refused) -> Self {
        InventError {
            type_name: type_name::<T>(),
            refused,
        }
    }
}

impl fmt::Display for InventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = &self.refused.why;
        let Some(place) = &self.refused.place else {
            return write!(f, "no {} can be invented: {why}", self.type_name);
        };
        let Place {
            method,
            argument,
            type_name,
        } = place;
        let refused = self.refused.type_name.map_or(*type_name, core_of);
        write!(
            f,
            "no {refused} can be invented for the argument `{argument}` of `{method}`"
        )?;
        let everywhere = short(refused);
        if refused == *type_name {
            return write!(
                f,
                ": {why}; name a function that makes one, `#[arg(generate = path)]` before the \
                 argument, with `fn path(rng: &mut braft::Rng) -> {type_name}`; or one for all \
                 values of the type, `#[raft_service(generate({everywhere} = path))]` on the `impl` \
                 block"
            );
        }
        write!(
            f,
            ", which is a {type_name}: {why}; name a function that makes one, \
             `#[raft_service(generate({everywhere} = path))]` on the `impl` block, with \
             `fn path(rng: &mut braft::Rng) -> {refused}`"
        )
    }
}

impl std::error::Error for InventError {}

/// A type as one names it where it is in scope.
fn short(type_name: &str) -> &str {
    let is_plain = !type_name.contains(['<', '(', '[', '&']);
    let last = type_name.rsplit("::").next().filter(|_| is_plain);
    last.unwrap_or(type_name)
}

#[derive(Debug)]
pub(super) struct Refused {
    why: String,
    /// The innermost type that serde asked for.
    type_name: Option<&'static str>,
    /// The argument, in a call.
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    method: &'static str,
    argument: &'static str,
    type_name: &'static str,
}

impl Refused {
    pub(super) fn because(why: impl Into<String>) -> Self {
        Refused {
            why: why.into(),
            type_name: None,
            place: None,
        }
    }

    /// It was a value of this type, unless a part of it is known to have been the one.
    pub(super) fn of_type(mut self, type_name: &'static str) -> Self {
        self.type_name.get_or_insert(type_name);
        self
    }

    pub(super) fn in_argument(
        self,
        method: &'static str,
        argument: &'static str,
        type_name: &'static str,
    ) -> Self {
        let place = Some(Place {
            method,
            argument,
            type_name,
        });
        Refused { place, ..self }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Refused::because(text.to_string())
    }
}
