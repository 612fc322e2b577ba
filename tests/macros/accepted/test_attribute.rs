//! What `#[braft::test]` makes of a function, with a runner of our own in the cluster's place.

/// Stands in for braft.
mod fake {
    pub(super) mod testing {
        use std::cell::RefCell;

        pub(crate) struct Cluster;

        #[derive(Debug)]
        pub(crate) struct TestError(pub(crate) &'static str);
        pub(crate) type TestResult = Result<(), TestError>;

        impl From<&'static str> for TestError {
            fn from(text: &'static str) -> Self {
                TestError(text)
            }
        }

        thread_local! {
            /// What the last test of this thread asked for.
            pub(crate) static ASKED: RefCell<(usize, String)> = RefCell::default();
        }

        pub(crate) fn run_test<F, Fut>(nodes: usize, name: &str, body: F) -> TestResult
        where
            F: FnOnce(Cluster) -> Fut,
            Fut: Future<Output = TestResult>,
        {
            ASKED.set((nodes, name.to_owned()));
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(body(Cluster))
        }
    }
}

use fake::testing::{ASKED, Cluster, TestResult};

#[braft::test(crate = fake)]
async fn asks_for_three_nodes_and_gives_its_path(_cluster: Cluster) -> TestResult {
    let path = concat!(module_path!(), "::asks_for_three_nodes_and_gives_its_path");
    assert_eq!(ASKED.take(), (3, path.to_owned()));
    Ok(())
}

#[braft::test(nodes = 5, crate = self::fake)]
async fn asks_for_as_many_nodes_as_told(
    mut cluster: Cluster,
) -> Result<(), fake::testing::TestError> {
    let Cluster = std::mem::replace(&mut cluster, Cluster);
    assert_eq!(ASKED.take().0, 5);
    Ok(())
}

/// Docs and attributes stay.
#[braft::test(crate = fake)]
#[should_panic(expected = "as it should")]
async fn may_have_to_panic(_: Cluster) -> TestResult {
    panic!("as it should");
}

#[ignore = "would fail"]
#[braft::test(crate = fake)]
async fn may_be_ignored(_: Cluster) -> TestResult {
    Err("ran all the same")?
}

mod errors {
    use super::fake;
    use super::{Cluster, TestResult};

    // Not run by itself: its error is looked at below.
    #[braft::test(crate = fake)]
    #[cfg_attr(all(), ignore = "fails on purpose")]
    pub(super) async fn fails(_: Cluster) -> TestResult {
        Err("on purpose")?
    }
}

#[test]
fn an_error_of_the_body_is_the_tests() {
    assert_eq!(errors::fails().map_err(|error| error.0), Err("on purpose"));
}
