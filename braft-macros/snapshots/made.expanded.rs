impl Letters {
    fn send(&mut self, to: Vec<Option<Email>>, subject: &str) {}
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
        send { to: Vec<Option<Email>>, subject: ::braft::__private::Owned<str> },
    }
    #[doc(hidden)]
    #[derive(
        ::braft::__private::serde::Serialize,
        ::braft::__private::serde::Deserialize
    )]
    #[serde(crate = "::braft::__private::serde")]
    pub enum __Query {}
    impl ::braft::Service for Letters
    where
        for<'a> Letters: ::braft::__private::Saved<'a>,
    {
        type Event = ::braft::NoEvents;
        type Command = __Command;
        type Query = __Query;
        const METHODS: &'static [::braft::Method] = &[
            ::braft::Method::__new("send", true, ""),
        ];
        const IS_CHECKED: bool = ::core::cfg!(debug_assertions);
        fn apply(
            &mut self,
            _: &mut ::braft::Context<Self::Event>,
            operation: __Command,
        ) -> ::core::result::Result<::std::vec::Vec<u8>, ::braft::Error> {
            match operation {
                __Command::send { to, subject } => {
                    ::braft::__private::command_answer(&Self::send(self, to, &subject))
                }
            }
        }
        fn query(
            &self,
            _: &::braft::Context<Self::Event>,
            operation: __Query,
        ) -> ::core::result::Result<::std::vec::Vec<u8>, ::braft::Error> {
            match operation {}
        }
        #[allow(unused_imports)]
        fn __describe<__Describe: ::braft::__private::Describe>(
            describe: &mut __Describe,
        ) {
            use ::braft::__private::{NotOwn as _, Untraced as _};
            {
                describe.operation(true, "send", 1, 0);
                ::braft::__private::Traced::<Vec<Option<Email>>>::NEW
                    .argument(describe, "to", 1);
                ::braft::__private::Own::<Vec<Option<Email>>>::NEW.whole(describe);
                ::braft::__private::Own::<Vec<Option<Email>>>::NEW.inside(describe);
                ::braft::__private::Traced::<::braft::__private::Owned<str>>::NEW
                    .argument(describe, "subject", 1);
                ::braft::__private::Own::<::braft::__private::Owned<str>>::NEW
                    .whole(describe);
                ::braft::__private::Own::<::braft::__private::Owned<str>>::NEW
                    .inside(describe);
                ::braft::__private::Traced::<()>::NEW.answer(describe);
                ::braft::__private::Own::<()>::NEW.whole(describe);
                ::braft::__private::Own::<()>::NEW.ok(describe);
                ::braft::__private::Own::<()>::NEW.err(describe);
            }
        }
        const __GENERATORS: &'static [::braft::__private::Generator] = &[
            ::braft::__private::Generator {
                makes: ::braft::__private::Makes::Argument {
                    method: "send",
                    argument: "subject",
                },
                make: |rng: &mut ::braft::Rng| {
                    let made: ::braft::__private::Owned<str> = subject(rng);
                    ::braft::__private::generated(&made)
                },
            },
            ::braft::__private::Generator {
                makes: ::braft::__private::Makes::Type(::core::any::type_name::<Email>),
                make: |rng: &mut ::braft::Rng| {
                    let made: Email = Email::any(rng);
                    ::braft::__private::generated(&made)
                },
            },
            ::braft::__private::Generator {
                makes: ::braft::__private::Makes::Type(
                    ::core::any::type_name::<Vec<u8>>,
                ),
                make: |rng: &mut ::braft::Rng| {
                    let made: Vec<u8> = bytes(rng);
                    ::braft::__private::generated(&made)
                },
            },
        ];
    }
    impl LettersClient {
        /// Calls `Letters::send`.
        fn send(&self, to: Vec<Option<Email>>, subject: &str) -> ::braft::Call<()> {
            ::braft::__private::command(
                self,
                &__Command::send {
                    to,
                    subject: ::std::borrow::ToOwned::to_owned(subject),
                },
            )
        }
    }
    use ::braft::__private::Unobjectionable as _;
    const _: () = ::braft::__private::accept(
        ::braft::__private::Probe::<Vec<Option<Email>>>::COMMAND,
    );
    const _: () = ::braft::__private::accept(
        ::braft::__private::Probe::<Option<Email>>::COMMAND,
    );
    const _: () = ::braft::__private::accept(
        ::braft::__private::Probe::<Email>::COMMAND,
    );
};
::core::compile_error! {
    "what is borrowed travels owned: write the owned type, such as `String` for `&str`"
}
::core::compile_error! {
    "this type has a function already"
}
::core::compile_error! {
    "expected types and paths of functions, `generate(Type = path)`, where the function is `fn(&mut braft::Rng) -> Type`"
}
::core::compile_error! {
    "expected types and paths of functions, `generate(Type = path)`, where the function is `fn(&mut braft::Rng) -> Type`"
}
::core::compile_error! {
    "expected types and paths of functions, `generate(Type = path)`, where the function is `fn(&mut braft::Rng) -> Type`"
}
impl Refused {
    fn send(&mut self, to: Email) {}
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
        /// Calls `Refused::send`.
        fn send(&self, to: Email) -> ::braft::Call<()> {
            ::core::unreachable!()
        }
    }
};
::core::compile_error! {
    "what makes arguments belongs to the operations: write `#[raft_service(generate(Type = path))]` on the `impl` block"
}
struct Misplaced {
    sent: u64,
}
/// Typed client of [`Misplaced`].
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
struct MisplacedClient(::braft::Channel);
impl ::core::convert::From<::braft::Channel> for MisplacedClient {
    fn from(channel: ::braft::Channel) -> Self {
        MisplacedClient(channel)
    }
}
impl ::braft::Client for MisplacedClient {}
impl ::braft::__private::Connected for MisplacedClient {
    const SERVICE: &'static str = "Misplaced";
    type State = Misplaced;
    fn channel(&self) -> &::braft::Channel {
        &self.0
    }
}
impl ::braft::State for Misplaced
where
    for<'a> Misplaced: ::braft::__private::Saved<'a>,
{
    const NAME: &'static str = "Misplaced";
    type Client = MisplacedClient;
}
