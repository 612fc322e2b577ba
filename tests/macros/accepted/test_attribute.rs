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

        fn run<F, Fut>(nodes: usize, name: &str, body: F) -> TestResult
        where
            F: FnOnce(Cluster) -> Fut,
            Fut: Future<Output = TestResult>,
        {
            ASKED.set((nodes, name.to_owned()));
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(body(Cluster))
        }

        pub(crate) fn run_test<F, Fut>(nodes: usize, name: &str, body: F)
        where
            F: FnOnce(Cluster) -> Fut,
            Fut: Future<Output = TestResult>,
        {
            if let Err(error) = run(nodes, name, body) {
                panic!("{}", error.0);
            }
        }

        pub(crate) fn run_test_that_should_panic<F, Fut>(nodes: usize, name: &str, body: F)
        where
            F: FnOnce(Cluster) -> Fut,
            Fut: Future<Output = TestResult>,
        {
            run(nodes, name, body).expect_err("neither passes nor panics");
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
    use super::{Cluster, TestResult, fake};

    // Not run by itself: how it fails is looked at below.
    #[braft::test(crate = fake)]
    #[ignore = "fails on purpose"]
    pub(super) async fn fails(_: Cluster) -> TestResult {
        Err("on purpose")?
    }
}

#[test]
fn an_error_of_the_body_fails_the_test() {
    let panic = std::panic::catch_unwind(errors::fails).expect_err("fails");
    let text = panic.downcast_ref::<String>();
    assert_eq!(text.map(String::as_str), Some("on purpose"));
}
