//! What a test may put in the place of the machine a node runs on.

use std::sync::Arc;

use crate::machine::Watch;
use crate::net::Dialer;
use crate::storage::fs::{DiskFs, Fs};

/// The network and the disk of a node, and who watches it.
#[derive(Clone)]
pub(crate) struct Seams {
    pub(crate) dialer: Dialer,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) watch: Watch,
}

impl Default for Seams {
    fn default() -> Self {
        Seams {
            dialer: Dialer::default(),
            fs: Arc::new(DiskFs),
            watch: Watch::default(),
        }
    }
}
