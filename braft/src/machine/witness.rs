//! What a test may see of a replica at work.

use bytes::Bytes;
#[cfg(feature = "testing")]
use std::sync::Arc;

use crate::service::Moment;

/// Sees what one replica carries out, in the order in which it does.
///
/// A replica that is built up again from its disk carries out the end of its log again.
#[cfg(feature = "testing")]
pub(crate) trait Witness: Send + Sync {
    /// A command was carried out, or the timer if there is none, by this version of the service. No
    /// answer if it has no encoded form.
    fn ran(
        &self,
        moment: &Moment,
        service: (&str, u32),
        command: Option<&[u8]>,
        answer: Option<&[u8]>,
    );
    /// An entry is applied: everything in it was carried out, at this log time; and `active` says
    /// which version of a service is active since then.
    fn applied(
        &self,
        log_id: (u64, u64),
        entry: &[u8],
        clock: std::time::Duration,
        active: &dyn Fn(&str) -> u32,
    );
}

/// The witness of a replica, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    #[cfg(feature = "testing")]
    witness: Option<Arc<dyn Witness>>,
}

#[cfg_attr(
    not(feature = "testing"),
    expect(clippy::unused_self, reason = "there is nobody to tell")
)]
impl Watch {
    #[cfg(feature = "testing")]
    pub(crate) fn by(witness: Arc<dyn Witness>) -> Self {
        Watch {
            witness: Some(witness),
        }
    }

    #[cfg_attr(not(feature = "testing"), expect(unused_variables))]
    pub(super) fn ran(
        &self,
        moment: &Moment,
        (service, version): (&str, impl FnOnce() -> u32),
        command: Option<&[u8]>,
        answer: Option<&Bytes>,
    ) {
        #[cfg(feature = "testing")]
        if let Some(witness) = &self.witness {
            witness.ran(
                moment,
                (service, version()),
                command,
                answer.map(|answer| &**answer),
            );
        }
    }

    #[cfg_attr(not(feature = "testing"), expect(unused_variables))]
    pub(super) fn applied(
        &self,
        log_id: (u64, u64),
        entry: &[u8],
        clock: std::time::Duration,
        active: &dyn Fn(&str) -> u32,
    ) {
        #[cfg(feature = "testing")]
        if let Some(witness) = &self.witness {
            witness.applied(log_id, entry, clock, active);
        }
    }
}
