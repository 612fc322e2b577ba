//! Calls, answers and events as JSON: read and written through the Rust types.
//!
//! | file | what it holds |
//! |---|---|
//! | `service.rs` | what is known of a service: its operations, and how each is read and written |
//! | `invocation.rs` | a call by name, as the enum of a service's operations is read from it |
//! | `flat.rs` | arguments that stand in a query string |
//! | `writer.rs` | values to text |
//!
//! Text differs from plain serde_json in one thing: a map with a key that is neither text nor a
//! number is a list of pairs of key and value.

mod flat;
mod invocation;
mod service;
mod writer;

pub(crate) use self::invocation::Arguments;
pub(crate) use self::service::{Form, JsonOperation, JsonService, Shape};
