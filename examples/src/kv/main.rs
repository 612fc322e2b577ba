//! The demo: a replicated map of maps.
fn main() {}
