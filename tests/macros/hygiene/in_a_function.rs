//! A service declared inside a function.

#[deny(warnings)]
#[tokio::test]
async fn a_service_may_stand_inside_a_function() -> Result<(), braft::Error> {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Full;

    #[braft::raft_service]
    #[derive(Default, Serialize, Deserialize)]
    struct Cup {
        level: u8,
    }

    #[braft::raft_service]
    impl Cup {
        fn pour(&mut self, by: u8) -> Result<u8, Full> {
            self.level = self.level.checked_add(by).ok_or(Full)?;
            Ok(self.level)
        }
    }

    let cup: CupClient = braft::testing::loopback::<Cup>();
    assert_eq!(cup.pour(200).await?, Ok(200));
    assert_eq!(cup.pour(200).await?, Err(Full));
    Ok(())
}
