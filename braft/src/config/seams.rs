//! What a test may put in the place of the machine a node runs on.

use std::sync::Arc;

use crate::access::JoinToken;
use crate::machine::Watch;
use crate::net::Dialer;
use crate::storage::fs::{DiskFs, Fs};
use crate::tls::Secure;

/// The network and the disk of a node, and who watches it.
#[derive(Clone)]
pub(crate) struct Seams {
    pub(crate) dialer: Dialer,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) watch: Watch,
    /// Segments smaller than a user may have them.
    pub(crate) segment_bytes: Option<u64>,
}

impl Seams {
    /// The same, with connections over TLS, and with the join token, if those are given.
    pub(super) fn with_access(self, tls: Option<Secure>, join: Option<JoinToken>) -> Self {
        Seams {
            dialer: self.dialer.with_tls(tls).with_join(join),
            ..self
        }
    }

    /// Whether the node is to run without a port of the machine.
    pub(super) fn simulated(&self) -> bool {
        #[cfg(feature = "testing")]
        return self.dialer.is_simulated();
        #[cfg(not(feature = "testing"))]
        false
    }
}

impl Default for Seams {
    fn default() -> Self {
        Seams {
            dialer: Dialer::default(),
            fs: Arc::new(DiskFs),
            watch: Watch::default(),
            segment_bytes: None,
        }
    }
}
