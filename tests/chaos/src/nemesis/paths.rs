//! What the faults of the network do on which way, several at once.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::netns::Path;

use super::Nemesis;
use crate::fault::Fault;

impl Nemesis<'_> {
    /// The nodes of a fault of the network, and what it does on which way.
    pub(super) fn paths(
        &mut self,
        fault: Fault,
        first: usize,
    ) -> (Vec<usize>, Vec<(usize, usize, Path)>) {
        let count = self.cluster.len();
        // The clients' host comes after the nodes'. Half of the faults are between nodes alone.
        let hosts = count + usize::from(self.chance.below(2) == 0);
        let mut nodes = vec![first];
        let path = match fault {
            Fault::Loss => Path {
                lose_percent: 5 + self.chance.below(36) as u8,
                ..Path::default()
            },
            Fault::Delay => Path {
                delay: Duration::from_millis(5 + self.chance.below(120)),
                jitter: Duration::from_millis(self.chance.below(80)),
                ..Path::default()
            },
            _ => Path {
                cut: true,
                ..Path::default()
            },
        };
        if fault == Fault::Split {
            let others: Vec<_> = (0..count).filter(|node| *node != first).collect();
            nodes.extend(self.one_of(&others));
        }
        let mut both = Vec::new();
        for node in &nodes {
            for other in (0..hosts).filter(|other| !nodes.contains(other)) {
                both.push((*node, other, path));
                both.push((other, *node, path));
            }
        }
        if fault == Fault::OneWay {
            // Mute or deaf, to all or to some.
            let is_mute = self.chance.below(2) == 0;
            let some = self.chance.below(2) == 0;
            both.retain(|(from, _, _)| (*from == first) == is_mute);
            if some && both.len() > 1 {
                let keep = 1 + self.chance.below(both.len() as u64 - 1) as usize;
                let begin = self.chance.below(both.len() as u64) as usize;
                both.rotate_left(begin);
                both.truncate(keep);
            }
        }
        (nodes, both)
    }

    /// Puts the faults of the network that are under way together.
    pub(super) fn set_paths(&self) {
        let Some(network) = &self.cluster.network else {
            return;
        };
        let hosts = self.cluster.len() + 1;
        let mut all: BTreeMap<(usize, usize), Path> = BTreeMap::new();
        for (from, to, path) in self.active.iter().flat_map(|active| &active.paths) {
            let sum = all.entry((*from, *to)).or_default();
            sum.cut |= path.cut;
            sum.lose_percent = sum.lose_percent.max(path.lose_percent);
            sum.delay = sum.delay.max(path.delay);
            sum.jitter = sum.jitter.max(path.jitter);
        }
        for from in 0..hosts {
            for to in 0..hosts {
                network.set(from, to, all.get(&(from, to)).copied().unwrap_or_default());
            }
        }
    }
}
