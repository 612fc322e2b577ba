//! A network that is cut.

use super::super::invent::below;
use super::{Lasting, Nemesis, name};
use crate::service::Service;
use crate::testing::TestResult;
use crate::testing::cluster::TestNode;

impl<S: Service> Nemesis<S> {
    /// Cuts a node off: every other time the leader, which does not learn who leads instead.
    pub(super) fn isolate(&mut self) -> TestResult {
        let well = self.well();
        let any = self.one_of(&well);
        let leader = self.leader().filter(|leader| well.contains(leader));
        let leader = leader.filter(|_| below(&mut self.aimed, 2) == 0);
        if let Some(node) = leader.or(any) {
            self.cluster.isolate(node);
            self.note(format!("{} is cut off from the others", name(node)));
            self.lasting.push(Lasting::Cut("a node was cut off"));
        }
        Ok(())
    }

    /// Lets nothing reach a node; what it sends arrives.
    pub(super) fn deafen(&mut self, node: TestNode) {
        for (other, _) in self.cluster.running() {
            if other != node {
                self.cluster.cut(other, node);
            }
        }
        self.note(format!("{} hears nobody", name(node)));
        self.lasting.push(Lasting::Cut("a node heard nobody"));
    }

    pub(super) fn cut_one_way(&mut self) -> TestResult {
        let well = self.well();
        let (from, to) = (self.one_of(&well), self.one_of(&well));
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            self.cluster.cut(from, to);
            self.note(format!(
                "{} cannot reach {}, the way back is open",
                name(from),
                name(to)
            ));
            self.lasting.push(Lasting::Cut("one way was cut"));
        }
        Ok(())
    }
}
