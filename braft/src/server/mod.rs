//! server

#[allow(dead_code)]
pub(crate) mod calls;
