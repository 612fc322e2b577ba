//! braft under another name.

mod facade {
    pub mod inner {
        pub use braft::*;
    }
}

/// Hides the crate from paths that begin with its bare name.
mod braft {}

use facade::inner::raft_service;
use facade::inner::testing::loopback;
use serde::{Deserialize, Serialize};

#[raft_service(crate = crate::hygiene::renamed::facade::inner, name = "renamed")]
#[derive(Default, Serialize, Deserialize)]
struct Elsewhere {
    list: Vec<u8>,
}

#[raft_service(crate = self::facade::inner)]
impl Elsewhere {
    fn push(&mut self, _context: &mut facade::inner::Context, item: u8) -> &[u8] {
        self.list.push(item);
        &self.list
    }
}

#[tokio::test]
async fn braft_may_have_another_name() -> Result<(), facade::inner::Error> {
    assert_eq!(loopback::<Elsewhere>().push(7).await?, [7]);
    Ok(())
}
