//! Names: of services, and several services beside each other.

use braft::testing::loopback;
use braft::{State, raft_service};
use serde::{Deserialize, Serialize};

#[raft_service(name = "shop.left")]
#[derive(Default, Serialize, Deserialize)]
struct Left(u64, Vec<(String, [u8; 2])>);

#[raft_service]
impl Left {
    fn add(&mut self, by: u64) -> u64 {
        self.0 += by;
        self.0
    }

    #[inline]
    pub(in crate::accepted) const fn sum(&self) -> u64
    where
        Self: Sized,
    {
        self.0
    }
}

// The order of the attributes does not matter.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[raft_service]
struct Right {
    #[serde(rename = "words")]
    text: String,
}

#[raft_service]
impl Right {
    fn add(&mut self, by: &str) -> &str {
        self.text.push_str(by);
        &self.text
    }
}

mod elsewhere {
    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    #[raft_service]
    #[derive(Default, Serialize, Deserialize)]
    pub(crate) struct Far(u8);
}

// The state is named by a path, and so is its client; neither has to be imported.
#[raft_service]
impl elsewhere::Far {
    fn same(&self, other: Self) -> Option<Self> {
        Some(other)
    }
}

#[tokio::test]
async fn services_with_equal_method_names_do_not_meet() -> Result<(), braft::Error> {
    let (left, right) = (loopback::<Left>(), loopback::<Right>());
    assert_eq!(left.add(2).await?, 2);
    assert_eq!(right.add("a").await?, "a");
    assert_eq!(left.clone().add(2).await?, 4);
    assert_eq!(left.sum().await?, 4);
    Ok(())
}

#[tokio::test]
async fn an_impl_block_may_stand_in_another_module() -> Result<(), braft::Error> {
    let far = loopback::<elsewhere::Far>();
    assert!(far.same(elsewhere::Far::default()).await?.is_some());
    Ok(())
}

#[test]
fn a_service_is_called_after_its_struct_unless_told_otherwise() {
    assert_eq!(Left::NAME, "shop.left");
    assert_eq!(Right::NAME, "Right");
}
