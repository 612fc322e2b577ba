//! Functions of the user's that make values for checks: `#[arg(generate = path)]` for an argument,
//! `#[raft_service(generate(Type = path))]` for a type.

use serde::Serialize;

use crate::codec::{self, EncodeError};
use crate::context::Rng;

/// Makes arguments, or parts of them.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    /// What it makes.
    pub makes: Makes,
    /// Makes one and encodes it.
    pub make: fn(&mut Rng) -> Generated,
}

/// What a function makes.
#[derive(Clone, Copy, Debug)]
pub enum Makes {
    /// One argument.
    Argument {
        /// The method's name on the wire.
        method: &'static str,
        /// The argument's.
        argument: &'static str,
    },
    /// All values of the type with this name, wherever they are in arguments.
    Type(fn() -> &'static str),
}

/// An encoded value.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "testing"),
    expect(dead_code, reason = "only checks read it")
)]
pub struct Generated(Result<Vec<u8>, EncodeError>);

impl Generated {
    /// The value as it travels.
    #[cfg(feature = "testing")]
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, EncodeError> {
        self.0
    }
}

/// Encodes a value that was made.
pub fn generated<T: Serialize>(made: &T) -> Generated {
    Generated(codec::encode(made))
}
