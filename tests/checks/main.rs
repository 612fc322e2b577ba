//! The check that a user writes in one line, on services that are right and on broken ones.

// Services are public in life; here nothing outside could see them.
#![allow(unreachable_pub)]

mod broken;
mod cluster;
mod made;
mod right;
mod shrunk;
mod simulated;
mod upgraded;
