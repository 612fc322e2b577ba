//! A module without prelude, and without `use`.
#![no_implicit_prelude]
#![deny(warnings)]

#[::braft::raft_service(name = "bare")]
#[derive(::core::default::Default, ::serde::Serialize, ::serde::Deserialize)]
struct Bare {
    map:
        ::std::collections::BTreeMap<::std::string::String, ::std::vec::Vec<::core::primitive::u8>>,
}

#[::braft::raft_service]
impl Bare {
    /// Commands.
    fn put(&mut self, context: &mut ::braft::Context, key: &str, value: &[u8]) -> u64 {
        let value = ::std::borrow::ToOwned::to_owned(value);
        self.map
            .insert(::std::borrow::ToOwned::to_owned(key), value);
        context.log_position().index
    }

    fn get(&self, key: &str) -> ::core::option::Option<&[u8]> {
        let value = self.map.get(key);
        value.map(::std::vec::Vec::as_slice)
    }
}

// `#[tokio::test]` needs the prelude.
#[::core::prelude::v1::test]
fn needs_no_prelude() {
    let runtime = ::tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(calls()).expect("answers");
}

async fn calls() -> ::core::result::Result<(), ::braft::Error> {
    let client = ::braft::testing::loopback::<Bare>();
    ::core::assert_eq!(client.put("a", b"b").await?, 1);
    let value: ::core::option::Option<::std::vec::Vec<u8>> = client.get("a").await?;
    ::core::assert_eq!(value.as_deref(), ::core::option::Option::Some(&b"b"[..]));
    ::core::result::Result::Ok(())
}
