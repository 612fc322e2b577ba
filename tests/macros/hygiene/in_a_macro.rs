//! Services written by a macro of the user's: types arrive in invisible groups, names from
//! different places.

use braft::testing::loopback;
use serde::{Deserialize, Serialize};

macro_rules! register {
    ($name:ident, $value:ty, $borrowed:ty, $method:ident, $argument:ident) => {
        #[braft::raft_service]
        #[derive(Default, Serialize, Deserialize)]
        struct $name {
            value: $value,
        }

        #[braft::raft_service]
        impl $name {
            fn set(&mut self, context: &mut braft::Context, to: $borrowed) -> u64 {
                self.value = to.to_owned();
                context.log_position().index
            }

            fn $method(&mut self, $argument: $value, extra: Option<$value>) -> ($value, bool) {
                let is_some = extra.is_some();
                (std::mem::replace(&mut self.value, $argument), is_some)
            }

            fn get(&self) -> Option<$borrowed> {
                Some(&self.value)
            }
        }
    };
}

register!(Text, String, &str, swap, context);
register!(Bytes, Vec<u8>, &[u8], exchange, operation);

#[tokio::test]
async fn services_may_come_from_a_macro() -> Result<(), braft::Error> {
    let text: TextClient = loopback::<Text>();
    assert_eq!(text.set("a").await?, 1);
    let swapped = text.swap("b".to_owned(), None).await?;
    assert_eq!(swapped, ("a".to_owned(), false));
    assert_eq!(text.get().await?, Some("b".to_owned()));
    let bytes = loopback::<Bytes>();
    bytes.set(&[1]).await?;
    assert_eq!(
        bytes.exchange(vec![2], Some(vec![])).await?,
        (vec![1], true)
    );
    assert_eq!(bytes.get().await?, Some(vec![2]));
    Ok(())
}
