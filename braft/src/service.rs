//! The contract between a service and the runtime: what `#[raft_service]` implements.
//!
//! Generated code is typed; the runtime sees every service as [`AnyService`], bytes in and out.

use std::io::{Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Channel;
use crate::codec;
use crate::context::{Context, LogPosition, RequestId};
use crate::error::Error;

/// The replicated state of a service: implemented by `#[raft_service]` on the struct.
///
/// # Correctness
/// `load(save(s))` must behave exactly like `s`: a replica that came from a snapshot and one that
/// applied every command must give the same answers from then on. Equal states must be written as
/// the same bytes: replicas compare them by a digest ([`Settings::digest_every`]), and one that
/// differs from the majority is made anew.
///
/// [`Settings::digest_every`]: crate::Settings::digest_every
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the state of a braft service",
    label = "not a service state",
    note = "put `#[raft_service]` on the struct"
)]
pub trait State: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name that routes commands and names the snapshot section; unique within a node.
    const NAME: &'static str;
    /// The typed client.
    type Client: From<Channel> + Clone + Send + Sync + 'static;

    /// A copy of the state, if all its parts are [`Freeze`](crate::Freeze): then a snapshot is
    /// written from the copy while commands go on. `None` otherwise: commands wait until the state
    /// is written.
    fn freeze(&self) -> Option<Self> {
        None
    }
}

/// One operation of a service, as its schema shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Method {
    /// The stable name on the wire and in the log.
    pub name: &'static str,
    /// Whether it goes through the log.
    pub is_command: bool,
    /// The doc comment's first paragraph.
    pub doc: &'static str,
}

impl Method {
    #[doc(hidden)]
    pub const fn __new(name: &'static str, is_command: bool, doc: &'static str) -> Self {
        Method {
            name,
            is_command,
            doc,
        }
    }
}

/// The operations of a service: implemented by `#[raft_service]` on the impl block.
///
/// # Correctness
/// `apply` must be a function of the state, the context and the command alone: no clock, no
/// randomness, no I/O, no iteration in random order. Replicas that differ here diverge.
///
/// # Panics
/// A command that panics has no effect, and its caller is told so ([`OnPanic`](crate::OnPanic)); each
/// replica makes its state anew, which takes as long as to read its snapshot and the log behind it.
/// Return an error instead. A query that panics is an error of that query.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no replicated operations",
    label = "not a service",
    note = "put `#[raft_service]` on an `impl {Self}` block"
)]
pub trait Service: State {
    /// What its commands emit; [`NoEvents`](crate::NoEvents) if nothing.
    type Event: 'static;
    /// One variant per command.
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// One variant per query.
    type Query: Serialize + DeserializeOwned + Send + 'static;
    /// Every operation, in the order of the source.
    const METHODS: &'static [Method];
    /// Whether it was built with debug assertions and so, unless its profile says otherwise, with
    /// overflow checks: members whose builds differ in it are told, since a command may panic on
    /// some of them alone.
    #[doc(hidden)]
    const IS_CHECKED: bool = cfg!(debug_assertions);

    /// Carries out one command and encodes its answer.
    ///
    /// # Errors
    /// Only if the answer has no MessagePack form: the command was applied all the same.
    fn apply(
        &mut self,
        context: &mut Context<Self::Event>,
        command: Self::Command,
    ) -> Result<Vec<u8>, Error>;

    /// Answers one query.
    ///
    /// # Errors
    /// Only if the answer has no MessagePack form.
    fn query(&self, context: &Context<Self::Event>, query: Self::Query) -> Result<Vec<u8>, Error>;
}

/// Where and when a command is applied; the untyped half of [`Context`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) position: LogPosition,
    pub(crate) request: Option<RequestId>,
    pub(crate) now: std::time::Duration,
    pub(crate) seed: u64,
}

impl Moment {
    fn context<E>(self) -> Context<E> {
        Context::new(self.position, self.request, self.now, self.seed)
    }
}

/// A service with its types erased: bytes in, bytes out.
pub(crate) trait AnyService: Send + Sync {
    fn name(&self) -> &'static str;
    fn methods(&self) -> &'static [Method];
    /// Whether it was built with debug assertions.
    fn is_checked(&self) -> bool;
    /// Says whether the bytes are a command this build knows, without carrying it out.
    fn check_command(&self, command: &[u8]) -> Result<(), Error>;
    /// Carries out a command. The outer error means the bytes are not a command this build knows
    /// and nothing was done; the inner one that the answer could not be encoded.
    fn apply(&mut self, moment: Moment, command: &[u8]) -> Result<Result<Vec<u8>, Error>, Error>;
    fn query(&self, moment: Moment, query: &[u8]) -> Result<Vec<u8>, Error>;
    /// A copy of the state, if that is cheap.
    fn freeze(&self) -> Option<Box<dyn AnyService>>;
    fn save(&self, out: &mut dyn Write) -> Result<(), Error>;
    fn load(&mut self, from: &mut dyn Read) -> Result<(), Error>;
}

/// Makes a fresh, empty instance of a registered service.
pub(crate) type ServiceFactory = fn() -> Box<dyn AnyService>;

/// The factory of `S`.
pub(crate) fn factory<S: Service>() -> ServiceFactory {
    || Box::new(Hosted(S::default()))
}

struct Hosted<S>(S);

impl<S: Service> AnyService for Hosted<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn methods(&self) -> &'static [Method] {
        S::METHODS
    }

    fn is_checked(&self) -> bool {
        S::IS_CHECKED
    }

    fn check_command(&self, command: &[u8]) -> Result<(), Error> {
        decode_call::<S, S::Command>("command", command).map(drop)
    }

    fn apply(&mut self, moment: Moment, command: &[u8]) -> Result<Result<Vec<u8>, Error>, Error> {
        let command = decode_call::<S, S::Command>("command", command)?;
        Ok(self.0.apply(&mut moment.context(), command))
    }

    fn query(&self, moment: Moment, query: &[u8]) -> Result<Vec<u8>, Error> {
        let query = decode_call::<S, S::Query>("query", query)?;
        self.0.query(&moment.context(), query)
    }

    fn freeze(&self) -> Option<Box<dyn AnyService>> {
        let frozen = State::freeze(&self.0)?;
        Some(Box::new(Hosted(frozen)))
    }

    fn save(&self, out: &mut dyn Write) -> Result<(), Error> {
        codec::encode_into(&self.0, out).map_err(|error| {
            Error::fatal(format!(
                "cannot write the state of service {}: {error}",
                S::NAME
            ))
        })
    }

    fn load(&mut self, from: &mut dyn Read) -> Result<(), Error> {
        self.0 = codec::decode_from(from).map_err(|error| {
            Error::fatal(format!(
                "cannot read the state of service {} from the snapshot: {error}",
                S::NAME
            ))
        })?;
        Ok(())
    }
}

fn decode_call<S: State, T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Error> {
    codec::decode(bytes).map_err(|error| {
        // The generated type's name would tell the caller nothing.
        let error = error.to_string().replace(std::any::type_name::<T>(), what);
        Error::rejected(format!(
            "service {} does not know this {what}: {error}; use a client of the same version",
            S::NAME
        ))
    })
}
