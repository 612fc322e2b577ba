//! Faults of the network of a test.

use super::{Cluster, TestNode};
use crate::service::Service;

impl<S: Service> Cluster<S> {
    /// Cuts the network between a node and all others, both ways.
    pub fn isolate(&self, node: TestNode) {
        let others = (0..self.nodes().len())
            .map(TestNode)
            .filter(|other| *other != node);
        self.partition(&[node], &others.collect::<Vec<_>>());
    }

    /// Cuts the network between two groups of nodes, both ways.
    pub fn partition(&self, these: &[TestNode], those: &[TestNode]) {
        for a in these {
            for b in those {
                self.cut(*a, *b);
                self.cut(*b, *a);
            }
        }
    }

    /// Cuts the way from one node to another; the way back stays open.
    pub fn cut(&self, from: TestNode, to: TestNode) {
        self.shared
            .ground
            .cut(&self.address(from), &self.address(to));
    }

    /// Breaks all connections of nodes and of clients from [`client`](Self::client): what is under way
    /// on them is lost. New ones can be made at once.
    pub fn break_connections(&self) {
        self.shared.ground.break_connections();
    }

    /// From now on loses one of so many answers on its way to clients from [`client`](Self::client),
    /// after the call was carried out; none for 0.
    pub fn lose_one_answer_in(&self, answers: u64) {
        self.shared.ground.lose_one_answer_in(answers);
    }

    /// Undoes all cuts.
    pub fn heal(&self) {
        self.shared.ground.heal();
    }
}
