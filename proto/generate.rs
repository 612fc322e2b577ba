//! Compiles `proto/` into `braft/src/wire/`.
fn main() {}
