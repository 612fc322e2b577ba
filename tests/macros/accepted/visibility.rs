//! The client is as visible as the state, its methods as visible as the service's.

use braft::testing::loopback;

// The lints this must satisfy are in `strict_lints.rs`.
mod strict {
    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    /// Everybody's.
    #[raft_service]
    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Open {
        value: Hidden,
    }

    #[derive(Debug, Default, Clone, Serialize, Deserialize)]
    struct Hidden(u64);

    #[raft_service]
    impl Open {
        /// Adds.
        pub fn add(&mut self, by: u64) -> u64 {
            self.reset(Hidden(self.value.0 + by));
            self.value.0
        }

        fn reset(&mut self, to: Hidden) -> Hidden {
            std::mem::replace(&mut self.value, to)
        }

        pub(super) fn twice(&self) -> u64 {
            self.value.0 * 2
        }
    }

    /// Nobody else's.
    #[raft_service]
    #[derive(Default, Serialize, Deserialize)]
    struct Closed;

    #[raft_service]
    impl Closed {
        pub(super) fn nothing(&mut self) {
            let _ = self;
        }
    }

    pub(super) async fn reset(client: &OpenClient) -> Result<u64, braft::Error> {
        let closed: ClosedClient = super::loopback::<Closed>();
        closed.nothing().await?;
        Ok(client.reset(Hidden(1)).await?.0)
    }
}

#[tokio::test]
async fn private_types_and_methods_stay_private() -> Result<(), braft::Error> {
    let client: strict::OpenClient = loopback::<strict::Open>();
    client.add(4).await?;
    assert_eq!(client.twice().await?, 8);
    assert_eq!(strict::reset(&client).await?, 4);
    Ok(())
}
