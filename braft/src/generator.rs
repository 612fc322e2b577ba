//! Functions of the user's that make arguments for checks: `#[arg(generate = path)]`.

use serde::Serialize;

use crate::codec::{self, EncodeError};
use crate::context::Rng;

/// Makes an argument.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    /// The method's name on the wire.
    pub method: &'static str,
    /// The argument's.
    pub argument: &'static str,
    /// Makes one and encodes it.
    pub make: fn(&mut Rng) -> Generated,
}

/// An encoded argument.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "testing"),
    expect(dead_code, reason = "only checks read it")
)]
pub struct Generated(Result<Vec<u8>, EncodeError>);

impl Generated {
    /// The argument as it travels.
    #[cfg(feature = "testing")]
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, EncodeError> {
        self.0
    }
}

/// Encodes an argument that was made.
pub fn generated<T: Serialize>(made: &T) -> Generated {
    Generated(codec::encode(made))
}
