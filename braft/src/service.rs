//! The contract between a service and the runtime: what `#[raft_service]` implements.
//!
//! Generated code is typed; the runtime sees every service as [`AnyService`], bytes in and out.

use std::any::Any;
use std::io::{Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Channel;
use crate::codec;
use crate::context::{Context, LogPosition, RequestId};
use crate::effects::Effects;
use crate::error::{Error, ErrorKind, Outcome};
use crate::generator::Generator;
#[cfg(feature = "http")]
use crate::json::JsonService;
use crate::life::{Life, Migration};
use crate::schema::Describe;

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
    /// The version of the service: that of its latest operations and fields.
    const VERSION: u32 = 1;
    /// Fields that came with a later version than the first, and which.
    #[doc(hidden)]
    const FIELDS_SINCE: &'static [(&'static str, u32)] = &[];

    /// How the state is made of that of older versions, if those had another one.
    #[doc(hidden)]
    fn __migration() -> Option<Migration<Self>> {
        None
    }

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
    /// The version of the service that it came with.
    pub since: u32,
    /// The version from which on it is refused.
    pub removed: Option<u32>,
    /// The version that its latest argument came with.
    latest: u32,
}

impl Method {
    #[doc(hidden)]
    pub const fn __new(name: &'static str, is_command: bool, doc: &'static str) -> Self {
        Method {
            name,
            is_command,
            doc,
            since: 1,
            removed: None,
            latest: 1,
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn __living(mut self, since: u32, removed: u32, arguments: &[u32]) -> Self {
        self.since = since;
        self.removed = if removed == 0 { None } else { Some(removed) };
        self.latest = since;
        let mut rest = arguments;
        while let [argument, others @ ..] = rest {
            if *argument > self.latest {
                self.latest = *argument;
            }
            rest = others;
        }
        self
    }

    /// Whether some call of it is refused while a version is active.
    fn is_gated(&self, active: u32) -> bool {
        self.latest > active || self.removed.is_some_and(|removed| removed <= active)
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
    /// What its commands emit, an [`Event`](crate::Event); [`NoEvents`](crate::NoEvents) if nothing.
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

    /// The name of the `#[timer]` method, if there is one.
    const TIMER: Option<&'static str> = None;

    /// Runs the `#[timer]` method.
    fn wake(&mut self, context: &mut Context<Self::Event>) {
        // Not called without a timer.
        let _ = context;
    }

    /// Answers one query.
    ///
    /// # Errors
    /// Only if the answer has no MessagePack form.
    fn query(&self, context: &Context<Self::Event>, query: Self::Query) -> Result<Vec<u8>, Error>;

    /// What makes arguments for checks, where they are not invented.
    #[doc(hidden)]
    const __GENERATORS: &'static [Generator] = &[];

    /// Says the types of all operations.
    #[doc(hidden)]
    fn __describe<D: Describe>(_: &mut D) {}

    /// The versions that know a command.
    #[doc(hidden)]
    fn __command_life(_: &Self::Command) -> Life {
        Life::ALWAYS
    }

    /// The versions that know a query.
    #[doc(hidden)]
    fn __query_life(_: &Self::Query) -> Life {
        Life::ALWAYS
    }
}

/// Where and when a command is applied; the untyped half of [`Context`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) position: LogPosition,
    pub(crate) request: Option<RequestId>,
    pub(crate) now: std::time::Duration,
    pub(crate) seed: u64,
    /// How many more wakes the service may ask for.
    pub(crate) room: usize,
}

/// A command that was carried out. Its answer may have no MessagePack form.
pub(crate) struct Applied {
    pub(crate) answer: Result<Vec<u8>, Error>,
    pub(crate) effects: Effects,
}

impl Moment {
    fn context<E>(self) -> Context<E> {
        Context::new(self.position, self.request, self.now, self.seed, self.room)
    }
}

/// A service with its types erased: bytes in, bytes out.
pub(crate) trait AnyService: Send + Sync {
    fn name(&self) -> &'static str;
    fn methods(&self) -> &'static [Method];
    /// Whether it was built with debug assertions.
    fn is_checked(&self) -> bool;
    /// The latest version that this build knows.
    fn version(&self) -> u32;
    /// The version that this instance is of.
    fn active(&self) -> u32;
    /// Its schema, as text.
    fn schema(&self) -> String;
    /// An empty instance of a version that this build knows.
    fn at_version(&self, version: u32) -> Box<dyn AnyService>;
    /// The state of an older instance as of a later version that this build knows.
    fn upgrade(&self, old: Box<dyn AnyService>, version: u32)
    -> Result<Box<dyn AnyService>, Error>;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    /// Why the active version refuses a command; nothing if it does not, or it cannot be read.
    fn refusal(&self, command: &[u8]) -> Option<String>;
    /// Says whether the bytes are a command this build knows, without carrying it out.
    fn check_command(&self, command: &[u8]) -> Result<(), Error>;
    /// Carries out a command. An error means the bytes are not a command this build knows, and
    /// nothing was done.
    fn apply(&mut self, moment: Moment, command: &[u8]) -> Result<Applied, Error>;
    /// The name of the timer, if this build has one.
    fn timer(&self) -> Option<&'static str>;
    /// Runs the timer.
    fn wake(&mut self, moment: Moment) -> Effects;
    fn query(&self, moment: Moment, query: &[u8]) -> Result<Vec<u8>, Error>;
    /// A copy of the state, if that is cheap.
    fn freeze(&self) -> Option<Box<dyn AnyService>>;
    /// How its calls are read from JSON and its answers written.
    #[cfg(feature = "http")]
    fn json(&self) -> JsonService;
    fn save(&self, out: &mut dyn Write) -> Result<(), Error>;
    fn load(&mut self, from: &mut dyn Read) -> Result<(), Error>;
}

/// Makes a fresh, empty instance of a registered service.
pub(crate) type ServiceFactory = fn() -> Box<dyn AnyService>;

/// The factory of `S`.
pub(crate) fn factory<S: Service>() -> ServiceFactory {
    || {
        Box::new(Hosted {
            state: S::default(),
            active: S::VERSION,
        })
    }
}

/// The state in an instance of `S`, if it is one.
pub(crate) fn into_state<S: Service>(instance: Box<dyn Any>) -> Option<S> {
    let hosted = instance.downcast::<Hosted<S>>().ok()?;
    Some(hosted.state)
}

struct Hosted<S> {
    state: S,
    active: u32,
}

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

    fn version(&self) -> u32 {
        S::VERSION
    }

    fn active(&self) -> u32 {
        self.active
    }

    fn schema(&self) -> String {
        crate::schema::schema::<S>().to_string()
    }

    fn at_version(&self, version: u32) -> Box<dyn AnyService> {
        match S::__migration() {
            Some(migration) if version <= migration.from() => migration.old().at_version(version),
            _ => Box::new(Hosted {
                state: S::default(),
                active: version,
            }),
        }
    }

    fn upgrade(
        &self,
        old: Box<dyn AnyService>,
        version: u32,
    ) -> Result<Box<dyn AnyService>, Error> {
        let migration = S::__migration().filter(|migration| old.active() <= migration.from());
        let foreign = || {
            Error::fatal(format!(
                "the state of service {} is not of the type that its migration begins with",
                S::NAME
            ))
        };
        match migration {
            Some(migration) if version <= migration.from() => migration.old().upgrade(old, version),
            Some(migration) => {
                let last = migration.old().upgrade(old, migration.from())?;
                let state = migration.convert(last).ok_or_else(foreign)?;
                Ok(Box::new(Hosted {
                    state,
                    active: version,
                }))
            }
            // Nothing of the state changes: it stays where it is.
            None => {
                let hosted = old.into_any().downcast::<Hosted<S>>();
                let mut hosted = hosted.map_err(|_| foreign())?;
                hosted.active = version;
                Ok(hosted)
            }
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn refusal(&self, command: &[u8]) -> Option<String> {
        let mut methods = S::METHODS.iter();
        // Hardly ever: spare the decoding.
        if !methods.any(|method| method.is_command && method.is_gated(self.active)) {
            return None;
        }
        let command = codec::decode::<S::Command>(command).ok()?;
        S::__command_life(&command).refusal(S::NAME, self.active)
    }

    fn check_command(&self, command: &[u8]) -> Result<(), Error> {
        let command = decode_call::<S, S::Command>("command", command)?;
        let refusal = S::__command_life(&command).refusal(S::NAME, self.active);
        refusal.map_or(Ok(()), |text| Err(Error::rejected(text)))
    }

    fn apply(&mut self, moment: Moment, command: &[u8]) -> Result<Applied, Error> {
        let command = decode_call::<S, S::Command>("command", command)?;
        let mut context = moment.context().at_version(self.active);
        let answer = self.state.apply(&mut context, command);
        let effects = context.into_effects();
        let answer = match &effects.fault {
            None => answer,
            Some(fault) => Err(Error::new(
                ErrorKind::Rejected,
                Outcome::Applied,
                fault.clone(),
            )),
        };
        Ok(Applied { answer, effects })
    }

    fn timer(&self) -> Option<&'static str> {
        S::TIMER
    }

    fn wake(&mut self, moment: Moment) -> Effects {
        let mut context = moment.context().at_version(self.active);
        self.state.wake(&mut context);
        context.into_effects()
    }

    fn query(&self, moment: Moment, query: &[u8]) -> Result<Vec<u8>, Error> {
        let query = decode_call::<S, S::Query>("query", query)?;
        if let Some(text) = S::__query_life(&query).refusal(S::NAME, self.active) {
            return Err(Error::rejected(text));
        }
        let context = moment.context().at_version(self.active);
        self.state.query(&context, query)
    }

    fn freeze(&self) -> Option<Box<dyn AnyService>> {
        let state = State::freeze(&self.state)?;
        Some(Box::new(Hosted {
            state,
            active: self.active,
        }))
    }

    #[cfg(feature = "http")]
    fn json(&self) -> JsonService {
        JsonService::of::<S>()
    }

    fn save(&self, out: &mut dyn Write) -> Result<(), Error> {
        codec::encode_into(&self.state, out).map_err(|error| {
            Error::fatal(format!(
                "cannot write the state of service {}: {error}",
                S::NAME
            ))
        })
    }

    fn load(&mut self, from: &mut dyn Read) -> Result<(), Error> {
        self.state = codec::decode_from(from).map_err(|error| {
            Error::fatal(format!(
                "cannot read the state of service {}, version {}, from the snapshot: {error}; start \
                 a binary whose states of that version are the same",
                S::NAME,
                self.active
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
