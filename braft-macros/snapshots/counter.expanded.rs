#[derive(Default, Serialize, Deserialize)]
pub struct Counter {
    value: u64,
}
/// Typed client of [`Counter`].
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct CounterClient(::braft::Channel);
impl ::core::convert::From<::braft::Channel> for CounterClient {
    fn from(channel: ::braft::Channel) -> Self {
        CounterClient(channel)
    }
}
impl ::braft::Client for CounterClient {}
impl ::braft::__private::Connected for CounterClient {
    const SERVICE: &'static str = "Counter";
    type State = Counter;
    fn channel(&self) -> &::braft::Channel {
        &self.0
    }
}
impl ::braft::State for Counter
where
    for<'a> Counter: ::braft::__private::Saved<'a>,
{
    const NAME: &'static str = "Counter";
    type Client = CounterClient;
    #[allow(unused_imports)]
    fn freeze(&self) -> ::core::option::Option<Self> {
        use ::braft::__private::NotCheap as _;
        ::core::option::Option::Some(Self {
            value: ::braft::__private::Freezing(&self.value).freeze()?,
        })
    }
}
const _: () = {
    use ::braft::__private::Bare as _;
    const _: () = ::braft::__private::state::<
        Counter,
        _,
        _,
        _,
    >(
        &::braft::__private::Probe::<Counter>::DEFAULT,
        &::braft::__private::Probe::<Counter>::SERIALIZE,
        &::braft::__private::Probe::<Counter>::DESERIALIZE,
    );
    const _: () = ::braft::__private::shared(
        ::braft::__private::Probe::<Counter>::SHARED,
        &[],
    );
};
impl Counter {
    /// Adds `by` and returns the new total.
    pub fn add(&mut self, by: u64) -> Result<u64, Overflow> {
        self.value = self.value.checked_add(by).ok_or(Overflow)?;
        Ok(self.value)
    }
    pub fn get(&self) -> u64 {
        self.value
    }
}
#[allow(
    non_camel_case_types,
    non_snake_case,
    deprecated,
    dead_code,
    private_interfaces,
    unreachable_pub,
    clippy::all,
    clippy::pedantic
)]
const _: () = {
    #[doc(hidden)]
    #[derive(
        ::braft::__private::serde::Serialize,
        ::braft::__private::serde::Deserialize
    )]
    #[serde(crate = "::braft::__private::serde")]
    pub enum __Command {
        add { by: u64 },
    }
    #[doc(hidden)]
    #[derive(
        ::braft::__private::serde::Serialize,
        ::braft::__private::serde::Deserialize
    )]
    #[serde(crate = "::braft::__private::serde")]
    pub enum __Query {
        get {},
    }
    impl ::braft::Service for Counter
    where
        for<'a> Counter: ::braft::__private::Saved<'a>,
    {
        type Event = ::braft::NoEvents;
        type Command = __Command;
        type Query = __Query;
        const METHODS: &'static [::braft::Method] = &[
            ::braft::Method::__new("add", true, "Adds `by` and returns the new total."),
            ::braft::Method::__new("get", false, ""),
        ];
        const IS_CHECKED: bool = ::core::cfg!(debug_assertions);
        fn apply(
            &mut self,
            _: &mut ::braft::Context<Self::Event>,
            operation: __Command,
        ) -> ::core::result::Result<::std::vec::Vec<u8>, ::braft::Error> {
            match operation {
                __Command::add { by } => {
                    ::braft::__private::command_answer(&Self::add(self, by))
                }
            }
        }
        fn query(
            &self,
            _: &::braft::Context<Self::Event>,
            operation: __Query,
        ) -> ::core::result::Result<::std::vec::Vec<u8>, ::braft::Error> {
            match operation {
                __Query::get {} => ::braft::__private::query_answer(&Self::get(self)),
            }
        }
        #[allow(unused_imports)]
        fn __describe<__Describe: ::braft::__private::Describe>(
            describe: &mut __Describe,
        ) {
            use ::braft::__private::{NotOwn as _, Untraced as _};
            {
                describe.operation(true, "add", 1, 0);
                ::braft::__private::Traced::<u64>::NEW.argument(describe, "by", 1);
                ::braft::__private::Own::<u64>::NEW.whole(describe);
                ::braft::__private::Own::<u64>::NEW.inside(describe);
                ::braft::__private::Traced::<Result<u64, Overflow>>::NEW
                    .answer(describe);
                ::braft::__private::Own::<Result<u64, Overflow>>::NEW.whole(describe);
                ::braft::__private::Own::<Result<u64, Overflow>>::NEW.ok(describe);
                ::braft::__private::Own::<Result<u64, Overflow>>::NEW.err(describe);
            }
            {
                describe.operation(false, "get", 1, 0);
                ::braft::__private::Traced::<u64>::NEW.answer(describe);
                ::braft::__private::Own::<u64>::NEW.whole(describe);
                ::braft::__private::Own::<u64>::NEW.ok(describe);
                ::braft::__private::Own::<u64>::NEW.err(describe);
            }
        }
    }
    impl CounterClient {
        /// Adds `by` and returns the new total.
        pub fn add(&self, by: u64) -> ::braft::Call<Result<u64, Overflow>> {
            ::braft::__private::command(self, &__Command::add { by })
        }
        /// Calls `Counter::get`.
        pub fn get(&self) -> ::braft::Call<u64, ::braft::QueryCall> {
            ::braft::__private::query(self, &__Query::get {})
        }
    }
    use ::braft::__private::Unobjectionable as _;
    const _: () = ::braft::__private::accept(
        ::braft::__private::Probe::<Result<u64, Overflow>>::COMMAND,
    );
    const _: () = ::braft::__private::accept(
        ::braft::__private::Probe::<Overflow>::COMMAND,
    );
    const _: () = ::braft::__private::readable::<Result<u64, Overflow>>();
};
