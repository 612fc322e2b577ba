//! No way of discovery.

use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};

use super::{Discovery, PeerSet};

/// What a node has to which nobody said how to find others, or that it is to run alone: it waits
/// to be found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unset;

impl Discovery for Unset {
    fn name(&self) -> &str {
        "none"
    }

    fn peers(&self) -> BoxStream<'static, PeerSet> {
        stream::pending().boxed()
    }
}
