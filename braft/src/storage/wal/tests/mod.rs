//! What the log promises, each promise a test.

mod basic;
