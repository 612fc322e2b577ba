//! What operators do: the command line against clusters and data directories.

// Services are public in life; here nothing outside could see them.
#![allow(unreachable_pub)]

mod backup;
mod calls;
mod certs;
mod commands;
mod docs;
mod line;
mod recover;
mod seen;
mod terminal;
