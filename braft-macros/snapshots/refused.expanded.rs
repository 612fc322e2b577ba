::core::compile_error! {
    "unknown option `edition`; valid here: `name = \"…\"`, `version = number`, `migrate = path`, `crate = path`"
}
::core::compile_error! {
    "a field that serde skips is missing in snapshots, so a replica restored from one would diverge; remove the field, or keep it in the snapshot"
}
#[derive(Default, Serialize, Deserialize)]
pub struct Refused {
    #[serde(skip)]
    value: u64,
}
/// Typed client of [`Refused`].
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct RefusedClient(::braft::Channel);
impl ::core::convert::From<::braft::Channel> for RefusedClient {
    fn from(channel: ::braft::Channel) -> Self {
        RefusedClient(channel)
    }
}
impl ::braft::Client for RefusedClient {}
impl ::braft::__private::Connected for RefusedClient {
    const SERVICE: &'static str = "Refused";
    type State = Refused;
    fn channel(&self) -> &::braft::Channel {
        &self.0
    }
}
impl ::braft::State for Refused
where
    for<'a> Refused: ::braft::__private::Saved<'a>,
{
    const NAME: &'static str = "Refused";
    type Client = RefusedClient;
}
::core::compile_error! {
    "an operation cannot be `async`: every replica carries it out in one step, in log order; wait before the call and pass the result as an argument, or keep the method out with `#[local]`"
}
::core::compile_error! {
    "an operation cannot be generic: the log holds its arguments as concrete types; write the types (and elide lifetimes), or keep the method out with `#[local]`"
}
::core::compile_error! {
    "an argument needs a name, which is part of the log's format: write `name: Type` and take it apart inside the method"
}
impl Refused {
    pub async fn add<T: Into<u64>>(&mut self, (by, times): (T, u64)) -> u64 {
        self.value += by.into() * times;
        self.value
    }
    /// Nothing is wrong with this one.
    pub fn get(&self) -> u64 {
        self.value
    }
}
const _: () = {
    impl ::braft::Service for Refused
    where
        for<'a> Refused: ::braft::__private::Saved<'a>,
    {
        type Event = ::braft::NoEvents;
        type Command = ::braft::__private::Refused;
        type Query = ::braft::__private::Refused;
        const METHODS: &'static [::braft::Method] = &[];
        fn apply(
            &mut self,
            _: &mut ::braft::Context<Self::Event>,
            command: Self::Command,
        ) -> ::core::result::Result<::std::vec::Vec<u8>, ::braft::Error> {
            match command {}
        }
        fn query(
            &self,
            _: &::braft::Context<Self::Event>,
            query: Self::Query,
        ) -> ::core::result::Result<::std::vec::Vec<u8>, ::braft::Error> {
            match query {}
        }
    }
    impl RefusedClient {
        #[allow(unused_variables)]
        /// Calls `Refused::add`.
        pub fn add<T: Into<u64>>(&self, argument_0: (T, u64)) -> ::braft::Call<u64> {
            ::core::unreachable!()
        }
        #[allow(unused_variables)]
        /// Nothing is wrong with this one.
        pub fn get(&self) -> ::braft::Call<u64, ::braft::QueryCall> {
            ::core::unreachable!()
        }
    }
};
