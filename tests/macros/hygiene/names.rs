//! Methods and arguments with names that something else has too.

use braft::raft_service;
use braft::testing::loopback;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Awkward {
    calls: u32,
}

#[raft_service]
#[allow(
    non_snake_case,
    clippy::new_ret_no_self,
    clippy::should_implement_trait,
    clippy::wrong_self_convention
)]
impl Awkward {
    fn new(&mut self) -> u32 {
        self.calls += 1;
        self.calls
    }
    fn clone(&mut self) -> &str {
        "clone"
    }
    fn connect(&self) -> bool {
        true
    }
    fn apply(&mut self, apply: u8) -> u8 {
        apply
    }
    fn query(&self, query: u8) -> u8 {
        query
    }
    fn self_(&mut self, self_: u8) -> u8 {
        self_
    }
    fn r#type(&self, r#fn: &str) -> String {
        r#fn.to_owned()
    }
    fn a_b(&self) -> &str {
        "a_b"
    }
    fn aB(&self) -> &str {
        "aB"
    }
    fn from(&self, channel: u8, context: u8, command: u8, request: u8) -> u8 {
        channel + context + command + request
    }
    fn as_ref(&self) -> u8 {
        1
    }
    fn fmt(&self) -> u8 {
        2
    }
    fn default(&self) -> u8 {
        3
    }
    fn serialize(&self, __self: u8, __field0: u8) -> u8 {
        __self + __field0
    }
    fn deserialize(&self, deserializer: u8) -> u8 {
        deserializer
    }
    fn to_owned(&self, to_owned: &str) -> String {
        String::from(to_owned)
    }
    // Method call syntax prefers what takes its receiver by value, such as `Into::into`.
    fn into(&mut self, Self_: u8) -> u8 {
        Self_
    }
}

#[tokio::test]
async fn no_method_name_is_taken() -> Result<(), braft::Error> {
    let client = loopback::<Awkward>();
    assert_eq!(client.new().await?, 1);
    assert_eq!(client.clone().await?, "clone");
    assert!(client.connect().await?);
    assert_eq!((client.apply(1).await?, client.query(2).await?), (1, 2));
    assert_eq!(client.self_(3).await?, 3);
    assert_eq!(client.r#type("x").await?, "x");
    assert_eq!(client.a_b().await?, "a_b");
    assert_eq!(client.aB().await?, "aB");
    assert_eq!(client.from(1, 2, 3, 4).await?, 10);
    assert_eq!(client.as_ref().await?, 1);
    assert_eq!(client.fmt().await?, 2);
    assert_eq!(client.default().await?, 3);
    assert_eq!(client.serialize(1, 2).await?, 3);
    assert_eq!(client.deserialize(4).await?, 4);
    assert_eq!(client.to_owned("y").await?, "y");
    assert_eq!(AwkwardClient::into(&client, 5).await?, 5);
    Ok(())
}
