//! What generated code says of its service.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::node::{ANSWER, Node, name};
use super::own::{Maker, Part};
use super::trace;

/// Takes the description of a service, operation by operation.
///
/// Generic in generated code, so that nothing of it is compiled where nobody asks for a schema.
pub trait Describe {
    /// An operation begins; `removed` is 0 if it is not.
    fn operation(&mut self, is_command: bool, name: &str, since: u32, removed: u32);
    /// The next argument of the operation.
    fn argument<T: DeserializeOwned>(&mut self, name: &str, since: u32);
    /// What the operation answers.
    fn answer<T: Serialize + DeserializeOwned>(&mut self);
    /// What the service emits.
    fn event<T: Serialize + DeserializeOwned>(&mut self);
    /// What was described last, or a part of it, has a JSON Schema of its own.
    fn own(&mut self, _: Part, _: Maker) {}
}

/// What generated code asks of a type. An inherent function comes before a trait's of the same name,
/// so a type that cannot be read is answered by [`Untraced`].
#[derive(Debug)]
pub struct Traced<T>(PhantomData<fn() -> T>);

impl<T> Traced<T> {
    /// Stands for the type.
    pub const NEW: Self = Traced(PhantomData);
}

impl<T: Serialize + DeserializeOwned> Traced<T> {
    /// Describes it as an argument.
    pub fn argument<D: Describe>(&self, describe: &mut D, name: &str, since: u32) {
        describe.argument::<T>(name, since);
    }

    /// Describes it as an answer.
    pub fn answer<D: Describe>(&self, describe: &mut D) {
        describe.answer::<T>();
    }

    /// Describes it as an event.
    pub fn event<D: Describe>(&self, describe: &mut D) {
        describe.event::<T>();
    }
}

/// The answer for a type that cannot be read or written: it is refused elsewhere.
pub trait Untraced {
    /// Nothing.
    fn argument<D: Describe>(&self, _: &mut D, _: &str, _: u32) {}
    /// Nothing.
    fn answer<D: Describe>(&self, _: &mut D) {}
    /// Nothing.
    fn event<D: Describe>(&self, _: &mut D) {}
}

impl<T> Untraced for Traced<T> {}

#[derive(Default)]
pub(super) struct Description {
    operations: Vec<Node>,
}

impl Description {
    pub(super) fn finish(self) -> Vec<Node> {
        self.operations
    }

    fn add(&mut self, part: Node) {
        let operation = self.operations.last_mut();
        operation
            .expect("an operation begins before its parts")
            .children
            .push(part);
    }
}

impl Describe for Description {
    fn operation(&mut self, is_command: bool, wire_name: &str, since: u32, removed: u32) {
        let kind = if is_command { "command" } else { "query" };
        self.operations.push(Node {
            since,
            removed,
            ..Node::new(&format!("{kind} {}", name(wire_name)))
        });
    }

    fn argument<T: DeserializeOwned>(&mut self, wire_name: &str, since: u32) {
        let shape = trace::shape::<T>();
        self.add(Node {
            label: name(wire_name),
            since,
            ..shape
        });
    }

    fn answer<T: Serialize + DeserializeOwned>(&mut self) {
        let shape = trace::shape::<T>();
        self.add(Node {
            label: ANSWER.to_owned(),
            since: 1,
            ..shape
        });
    }

    // Not a part of what a lock compares: subscribers read events, no replica does.
    fn event<T: Serialize + DeserializeOwned>(&mut self) {}
}
