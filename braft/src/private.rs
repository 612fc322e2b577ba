//! What generated code names. Not a part of the public interface: it changes without notice, and
//! the versions of braft and braft-macros are pinned to each other.

use ::serde::de::DeserializeOwned;
use ::serde::{Deserialize, Serialize};

pub use serde;

pub use crate::collections::freeze::{Freezing, NotCheap};
pub use crate::generator::{Generated, Generator, Makes, generated};
pub use crate::life::{Life, Migration, is_default, reached};
pub use crate::probe::{Bare, Probe, Unobjectionable, accept, shared, state};
pub use crate::schema::{Describe, NotOwn, Own, Traced, Untraced};

use crate::call::{self, Call, Channel, CommandCall, QueryCall};
use crate::codec;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Outcome};

/// The form in which something borrowed travels.
pub type Owned<T> = <T as ToOwned>::Owned;

/// What a typed client is made of.
pub trait Connected {
    /// The name of its service.
    const SERVICE: &'static str;
    /// Its state.
    type State;
    /// The way to the cluster.
    fn channel(&self) -> &Channel;
}

/// Calls a command.
pub fn command<C: Connected, R, T: Serialize>(client: &C, command: &T) -> Call<R, CommandCall> {
    call::__command(client.channel(), C::SERVICE, command)
}

/// Calls a query.
pub fn query<C: Connected, R, T: Serialize>(client: &C, query: &T) -> Call<R, QueryCall> {
    call::__query(client.channel(), C::SERVICE, query)
}

/// Holds for every answer that a client can read.
pub const fn readable<T: DeserializeOwned + Send + 'static>() {}

/// Reads the event type off a context, however it is written.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not `braft::Context`",
    label = "not a context",
    note = "a first argument `&mut Context` or `&Context` is taken for braft's; import \
            `braft::Context`, or give your own type another name"
)]
pub trait EventOf {
    /// The event type.
    type Event;
}

impl<E> EventOf for Context<E> {
    type Event = E;
}

/// What a state needs besides the macro.
///
/// The lifetime means nothing. It keeps the compiler from looking at the bound where it is written,
/// so that what is missing is reported once, by [`state`].
pub trait Saved<'a>: Default + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Default + Serialize + DeserializeOwned + Send + Sync + 'static> Saved<'_> for T {}

/// The commands and queries of a service that was refused: there are none.
#[derive(Serialize, Deserialize)]
pub enum Refused {}

/// Encodes the answer of a command that was carried out.
///
/// # Errors
/// If it has no MessagePack form; the command counts as applied.
pub fn command_answer<T: Serialize>(answer: &T) -> Result<Vec<u8>, Error> {
    encode(answer, Outcome::Applied)
}

/// Encodes the answer of a query.
///
/// # Errors
/// If it has no MessagePack form.
pub fn query_answer<T: Serialize>(answer: &T) -> Result<Vec<u8>, Error> {
    encode(answer, Outcome::NotApplied)
}

fn encode<T: Serialize>(answer: &T, outcome: Outcome) -> Result<Vec<u8>, Error> {
    codec::encode(answer).map_err(|error| {
        let message = "the answer cannot be encoded; return data that serde can write";
        Error::new(ErrorKind::Rejected, outcome, message).with_source(error)
    })
}
