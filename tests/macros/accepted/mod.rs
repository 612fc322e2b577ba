//! Every accepted form, called through a client.

mod arguments;
mod context;
mod counter;
mod methods;
mod names;
mod test_attribute;
mod visibility;
