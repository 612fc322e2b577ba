//! What a cluster promises, and that a promise was broken.

/// What a cluster promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// All replicas carry out the same.
    OneLog,
    /// The log has no holes, and neither its terms nor its time go back.
    WholeLog,
    /// A command is carried out once, or not at all, as its client was told.
    Once,
    /// A call of the service is not rejected.
    Served,
    /// What ended before something began comes before it.
    RealTime,
    /// A client sees what it has seen.
    Sessions,
    /// The struct alone does the same.
    Struct,
    /// What has to hold at each moment.
    Invariants,
    /// Soon after the last fault all is well.
    Settles,
}

/// A promise that was broken.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) promise: Promise,
    pub(super) text: String,
    /// The operations that show it, by their places in the history.
    pub(super) operations: Vec<usize>,
    /// The log index where it shows, if at one.
    pub(super) index: Option<u64>,
}

impl Violation {
    pub(super) fn of(
        promise: Promise,
        text: impl Into<String>,
        operations: impl Into<Vec<usize>>,
    ) -> Self {
        Violation {
            promise,
            text: text.into(),
            operations: operations.into(),
            index: None,
        }
    }

    /// Whether another one is of the same kind: of one promise, and where that is one for many things, of
    /// the same thing, whichever node it was.
    pub(super) fn is_like(&self, other: &Violation) -> bool {
        let is_broad = matches!(self.promise, Promise::Invariants | Promise::Settles);
        self.promise == other.promise && (!is_broad || gist(&self.text) == gist(&other.text))
    }

    pub(super) fn at(promise: Promise, index: u64, text: impl Into<String>) -> Self {
        Violation {
            promise,
            text: text.into(),
            operations: Vec::new(),
            index: Some(index),
        }
    }
}

/// The words of what was broken, without numbers and details.
fn gist(text: &str) -> String {
    let text = text.split([':', '(', '{', '\n']).next().unwrap_or_default();
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_alike_whichever_node_it_was() {
        let of = |promise, text: &str| Violation::of(promise, text, []);
        let removed = of(Promise::Invariants, "node 2 was removed: nothing was wrong");
        let too = of(Promise::Invariants, "node 11 was removed: all was well");
        assert!(removed.is_like(&too));
        let led = of(Promise::Invariants, "node 2 and node 1 both led in term 7");
        assert!(!removed.is_like(&led));
        assert!(!removed.is_like(&of(Promise::Settles, &removed.text)));
        let lost = of(Promise::Once, "a was lost");
        assert!(lost.is_like(&of(Promise::Once, "b was carried out twice")));
    }
}
