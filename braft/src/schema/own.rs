//! The JSON Schema that a type says of itself.
//!
//! With the feature `schemars` a type that implements `schemars::JsonSchema` is described by it. Which types
//! do is found out where their names stand, in generated code: an inherent function comes before a trait's
//! of the same name, so a type that does not is answered by [`NotOwn`].

use std::marker::PhantomData;

use serde_json::{Map, Value};

use super::describe::Describe;

/// A schema, and those that it refers to as `#/$defs/NAME`.
#[derive(Clone, Debug)]
pub struct OwnSchema {
    /// The schema.
    pub schema: Value,
    /// Those with names.
    pub definitions: Map<String, Value>,
}

/// Which way a value goes: a type may be read from more than it is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From JSON.
    Read,
    /// To JSON.
    Written,
}

/// Makes a schema.
pub(crate) type Maker = fn(Way) -> OwnSchema;

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The type.
    Whole,
    /// What is in an `Option`.
    Inside,
    /// The `Ok` of a `Result`.
    Ok,
    /// The `Err` of a `Result`.
    Err,
}

impl Part {
    /// How many there are.
    pub const COUNT: usize = Part::Err as usize + 1;
}

/// What generated code asks of a type.
#[derive(Debug)]
pub struct Own<T>(PhantomData<fn() -> T>);

impl<T> Own<T> {
    /// Stands for the type.
    pub const NEW: Self = Own(PhantomData);
}

/// The answer for a type that says nothing of itself: it is traced.
pub trait NotOwn {
    /// Nothing.
    fn whole<D: Describe>(&self, _: &mut D) {}
    /// Nothing.
    fn inside<D: Describe>(&self, _: &mut D) {}
    /// Nothing.
    fn ok<D: Describe>(&self, _: &mut D) {}
    /// Nothing.
    fn err<D: Describe>(&self, _: &mut D) {}
}

impl<T> NotOwn for Own<T> {}

#[cfg(feature = "schemars")]
mod said {
    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;

    use super::{Describe, Own, OwnSchema, Part, Way};

    impl<T: JsonSchema> Own<T> {
        /// Describes what was named last.
        pub fn whole<D: Describe>(&self, describe: &mut D) {
            describe.own(Part::Whole, schema::<T>);
        }
    }

    impl<T: JsonSchema> Own<Option<T>> {
        /// Describes what is in it.
        pub fn inside<D: Describe>(&self, describe: &mut D) {
            describe.own(Part::Inside, schema::<T>);
        }
    }

    impl<T: JsonSchema, E> Own<Result<T, E>> {
        /// Describes its `Ok`.
        pub fn ok<D: Describe>(&self, describe: &mut D) {
            describe.own(Part::Ok, schema::<T>);
        }
    }

    impl<T, E: JsonSchema> Own<Result<T, E>> {
        /// Describes its `Err`.
        pub fn err<D: Describe>(&self, describe: &mut D) {
            describe.own(Part::Err, schema::<E>);
        }
    }

    fn schema<T: JsonSchema>(way: Way) -> OwnSchema {
        let settings = SchemaSettings::draft2020_12();
        let settings = match way {
            Way::Read => settings.for_deserialize(),
            Way::Written => settings.for_serialize(),
        };
        let mut generator = settings.into_generator();
        let schema = generator.subschema_for::<T>().to_value();
        OwnSchema {
            schema,
            definitions: generator.take_definitions(true),
        }
    }
}
