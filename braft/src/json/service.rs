//! What is known of a service, so that it can be called in JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::invocation::{Arguments, read};
use super::writer::{Written, write_answer};
use crate::codec;
use crate::error::{Error, ErrorKind, Outcome};
use crate::machine::caught;
use crate::schema::{Describe, Maker, Node, Part, text_shape};
use crate::service::{Method, Service};

/// A service as JSON sees it. Made for each service that is registered, and for no other.
#[derive(Clone, Debug)]
pub(crate) struct JsonService {
    pub(crate) name: &'static str,
    /// In the order of the source.
    pub(crate) operations: Vec<JsonOperation>,
    /// What it emits, if it does.
    pub(crate) event: Option<Form>,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct JsonOperation {
    pub(crate) method: &'static Method,
    /// The names of the arguments, each with what is known of its shape.
    pub(crate) arguments: Vec<(String, Shape)>,
    pub(crate) answer: Form,
    read: fn(&str, Arguments<'_>) -> Result<Vec<u8>, String>,
}

/// What is known of the shape of a type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    traced: fn() -> Node,
    own: [Option<Maker>; Part::COUNT],
}

/// A type that is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) shape: Shape,
    write: fn(&[u8]) -> Result<Written, String>,
}

impl JsonService {
    pub(crate) fn of<S: Service>() -> Self {
        let mut description = Description::default();
        S::__describe(&mut description);
        let Description { described, event } = description;
        let known = |method: &'static Method| {
            let mut described = described.iter();
            let described = described.find(|operation| operation.name == method.name)?;
            Some(JsonOperation {
                method,
                arguments: described.arguments.clone(),
                answer: described.answer?,
                read: if method.is_command {
                    encode::<S::Command>
                } else {
                    encode::<S::Query>
                },
            })
        };
        JsonService {
            name: S::NAME,
            operations: S::METHODS.iter().filter_map(known).collect(),
            event,
        }
    }

    pub(crate) fn operation(&self, name: &str) -> Option<&JsonOperation> {
        let mut operations = self.operations.iter();
        operations.find(|operation| operation.method.name == name)
    }
}

impl Shape {
    fn of<T: DeserializeOwned>() -> Self {
        Shape {
            traced: text_shape::<T>,
            own: [None; Part::COUNT],
        }
    }

    /// What its `Deserialize` asks for, which takes a while to find out.
    pub(crate) fn traced(&self) -> Node {
        (self.traced)()
    }

    /// The schema that the type has of its own, if it has one.
    pub(crate) fn own(&self, part: Part) -> Option<Maker> {
        self.own[part as usize]
    }
}

impl JsonOperation {
    /// The MessagePack form of a call with these arguments. An error says what is wrong with them.
    pub(crate) fn read(&self, arguments: Arguments<'_>) -> Result<Vec<u8>, String> {
        // What reads the arguments is the user's in part.
        let read = caught(|| (self.read)(self.method.name, arguments));
        read.unwrap_or_else(|panic| Err(format!("reading the arguments panicked: {panic}")))
    }
}

impl Form {
    /// What was written as MessagePack, as JSON.
    ///
    /// # Errors
    /// *Rejected*; the outcome is the one given, as what is written has come about.
    pub(crate) fn write(&self, bytes: &[u8], outcome: Outcome) -> Result<Written, Error> {
        let written = caught(|| (self.write)(bytes));
        let written = written.unwrap_or_else(|panic| Err(format!("writing it panicked: {panic}")));
        written.map_err(|why| {
            let text = format!("there is an answer, and it cannot be given as JSON: {why}");
            Error::new(ErrorKind::Rejected, outcome, text)
        })
    }
}

fn encode<T: Serialize + DeserializeOwned>(
    method: &str,
    arguments: Arguments<'_>,
) -> Result<Vec<u8>, String> {
    let call: T = read(method, arguments)?;
    codec::encode(&call).map_err(|error| error.to_string())
}

fn write<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Written, String> {
    let value: T = codec::decode(bytes).map_err(|error| error.to_string())?;
    write_answer(&value).map_err(|error| error.to_string())
}

fn form<T: Serialize + DeserializeOwned>() -> Form {
    Form {
        shape: Shape::of::<T>(),
        write: write::<T>,
    }
}

#[derive(Default)]
struct Description {
    described: Vec<Described>,
    event: Option<Form>,
}

struct Described {
    name: String,
    arguments: Vec<(String, Shape)>,
    answer: Option<Form>,
}

impl Description {
    /// The shape of what was described last.
    fn last(&mut self) -> Option<&mut Shape> {
        if let Some(event) = &mut self.event {
            return Some(&mut event.shape);
        }
        let operation = self.described.last_mut()?;
        match &mut operation.answer {
            Some(answer) => Some(&mut answer.shape),
            None => operation.arguments.last_mut().map(|(_, shape)| shape),
        }
    }
}

impl Describe for Description {
    fn operation(&mut self, _: bool, name: &str, _: u32, _: u32) {
        self.described.push(Described {
            name: name.to_owned(),
            arguments: Vec::new(),
            answer: None,
        });
    }

    fn argument<T: DeserializeOwned>(&mut self, name: &str, _: u32) {
        if let Some(operation) = self.described.last_mut() {
            operation
                .arguments
                .push((name.to_owned(), Shape::of::<T>()));
        }
    }

    fn answer<T: Serialize + DeserializeOwned>(&mut self) {
        if let Some(operation) = self.described.last_mut() {
            operation.answer = Some(form::<T>());
        }
    }

    fn event<T: Serialize + DeserializeOwned>(&mut self) {
        self.event = Some(form::<T>());
    }

    fn own(&mut self, part: Part, made: Maker) {
        if let Some(shape) = self.last() {
            shape.own[part as usize] = Some(made);
        }
    }
}

#[cfg(all(test, feature = "macros"))]
mod tests;
