//! The expansion depends on nothing that the user has in scope, and takes no name.

mod in_a_function;
mod in_a_macro;
mod names;
mod no_prelude;
mod renamed;
mod shadowed;
