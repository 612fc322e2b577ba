//! What others announce on the local network.

use crate::discovery::mdns;

pub(super) fn records() -> Vec<Vec<u8>> {
    mdns::fuzz::records()
}

pub(super) fn read_record(bytes: &[u8]) -> bool {
    mdns::fuzz::read(bytes)
}
