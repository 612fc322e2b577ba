//! Two replicas beside each other, part by part.

use super::Replica;
use crate::error::Error;

/// What differs between a replica and what was recorded of one at the same log id.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Answers that both keep.
    pub(crate) answers: u64,
    pub(crate) differences: Vec<String>,
}

impl Replica {
    /// Compares this replica with a recorded one.
    pub(crate) fn compare(&self, recorded: &Replica) -> Result<Compared, Error> {
        let mut comparison = Compared::default();
        let mut note = |text: String| comparison.differences.push(text);
        if self.versions != recorded.versions {
            note(format!(
                "the active versions are {:?}, recorded were {:?}",
                self.versions.0, recorded.versions.0
            ));
        }
        if self.clock != recorded.clock || self.settings != recorded.settings {
            note("the log time or the settings".to_owned());
        }
        if self.members != recorded.members {
            note("the members".to_owned());
        }
        for (name, service) in &self.services {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            service.save(&mut ours)?;
            recorded.services[name].save(&mut theirs)?;
            if ours != theirs {
                let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
                note(format!(
                    "the state of service {name}: {} bytes, recorded were {}; the first \
                     difference is at byte {at}",
                    ours.len(),
                    theirs.len()
                ));
            }
        }
        let answers = self.sessions.compare(&recorded.sessions, note);
        comparison.answers = answers;
        Ok(comparison)
    }
}
