//! testing

mod loopback;

pub use loopback::loopback;
