#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Stock {
    items: BTreeMap<Sku, Item>,
    moved: u64,
}
/// Typed client of [`Stock`].
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub(crate) struct StockClient(crate::braft::Channel);
impl ::core::convert::From<crate::braft::Channel> for StockClient {
    fn from(channel: crate::braft::Channel) -> Self {
        StockClient(channel)
    }
}
impl crate::braft::Client for StockClient {}
impl crate::braft::__private::Connected for StockClient {
    const SERVICE: &'static str = "shop.stock";
    type State = Stock;
    fn channel(&self) -> &crate::braft::Channel {
        &self.0
    }
}
impl crate::braft::State for Stock
where
    for<'a> Stock: crate::braft::__private::Saved<'a>,
{
    const NAME: &'static str = "shop.stock";
    type Client = StockClient;
    #[allow(unused_imports)]
    fn freeze(&self) -> ::core::option::Option<Self> {
        use crate::braft::__private::NotCheap as _;
        ::core::option::Option::Some(Self {
            items: crate::braft::__private::Freezing(&self.items).freeze()?,
            moved: crate::braft::__private::Freezing(&self.moved).freeze()?,
        })
    }
}
const _: () = {
    use crate::braft::__private::Unobjectionable as _;
    const _: () = crate::braft::__private::accept(
        crate::braft::__private::Probe::<BTreeMap<Sku, Item>>::STATE,
    );
    const _: () = crate::braft::__private::accept(
        crate::braft::__private::Probe::<Sku>::STATE,
    );
    const _: () = crate::braft::__private::accept(
        crate::braft::__private::Probe::<Item>::STATE,
    );
    use crate::braft::__private::Bare as _;
    const _: () = crate::braft::__private::state::<
        Stock,
        _,
        _,
        _,
    >(
        &crate::braft::__private::Probe::<Stock>::DEFAULT,
        &crate::braft::__private::Probe::<Stock>::SERIALIZE,
        &crate::braft::__private::Probe::<Stock>::DESERIALIZE,
    );
    const _: () = crate::braft::__private::shared(
        crate::braft::__private::Probe::<Stock>::SHARED,
        &[
            crate::braft::__private::Probe::<BTreeMap<Sku, Item>>::STATE,
            crate::braft::__private::Probe::<Sku>::STATE,
            crate::braft::__private::Probe::<Item>::STATE,
        ],
    );
};
impl Stock {
    pub const LIMIT: usize = 100;
    pub fn new() -> Self {
        Stock::default()
    }
    /// Takes some away.
    ///
    /// # Errors
    /// If there are too few.
    #[deprecated = "use `sell`"]
    pub fn take(
        &mut self,
        context: &mut Context<Moved>,
        sku: &str,
        count: u32,
    ) -> Answer<u32> {
        self.check(sku)?;
        context.emit(Moved { count });
        Ok(count)
    }
    fn expire(&mut self, context: &mut Context<Moved>) {
        self.items.clear();
    }
    fn replace(&mut self, with: Self) -> Option<Self> {
        Some(std::mem::replace(self, with))
    }
    pub(super) fn note(&self, context: &Context<Moved>, sku: &Sku) -> Option<&str> {
        self.items.get(sku)?.note(context.now())
    }
    #[cfg(feature = "search")]
    pub fn search(&self, r#in: &[Tag]) -> Vec<&Item> {
        self.items.values().filter(|item| item.tags == r#in).collect()
    }
    fn check(&self, sku: &str) -> Answer<()> {
        Ok(())
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
        crate::braft::__private::serde::Serialize,
        crate::braft::__private::serde::Deserialize
    )]
    #[serde(crate = "crate::braft::__private::serde")]
    pub enum __Command {
        #[serde(rename = "take_items")]
        take { sku: crate::braft::__private::Owned<str>, count: u32 },
        replace { with: Stock },
    }
    #[doc(hidden)]
    #[derive(
        crate::braft::__private::serde::Serialize,
        crate::braft::__private::serde::Deserialize
    )]
    #[serde(crate = "crate::braft::__private::serde")]
    pub enum __Query {
        note { sku: crate::braft::__private::Owned<Sku> },
        #[cfg(feature = "search")]
        search { r#in: crate::braft::__private::Owned<[Tag]> },
    }
    impl crate::braft::Service for Stock
    where
        for<'a> Stock: crate::braft::__private::Saved<'a>,
    {
        type Event = <Context<Moved> as crate::braft::__private::EventOf>::Event;
        type Command = __Command;
        type Query = __Query;
        const METHODS: &'static [crate::braft::Method] = &[
            crate::braft::Method::__new("take_items", true, "Takes some away."),
            crate::braft::Method::__new("replace", true, ""),
            crate::braft::Method::__new("note", false, ""),
            #[cfg(feature = "search")]
            crate::braft::Method::__new("search", false, ""),
        ];
        const IS_CHECKED: bool = ::core::cfg!(debug_assertions);
        fn apply(
            &mut self,
            context: &mut crate::braft::Context<Self::Event>,
            operation: __Command,
        ) -> ::core::result::Result<::std::vec::Vec<u8>, crate::braft::Error> {
            match operation {
                __Command::take { sku, count } => {
                    crate::braft::__private::command_answer(
                        &Self::take(self, context, &sku, count),
                    )
                }
                __Command::replace { with } => {
                    crate::braft::__private::command_answer(&Self::replace(self, with))
                }
            }
        }
        fn query(
            &self,
            context: &crate::braft::Context<Self::Event>,
            operation: __Query,
        ) -> ::core::result::Result<::std::vec::Vec<u8>, crate::braft::Error> {
            match operation {
                __Query::note { sku } => {
                    crate::braft::__private::query_answer(
                        &Self::note(self, context, &sku),
                    )
                }
                #[cfg(feature = "search")]
                __Query::search { r#in } => {
                    crate::braft::__private::query_answer(&Self::search(self, &r#in))
                }
            }
        }
        #[allow(unused_imports)]
        fn __describe<__Describe: crate::braft::__private::Describe>(
            describe: &mut __Describe,
        ) {
            use crate::braft::__private::{NotOwn as _, Untraced as _};
            {
                describe.operation(true, "take_items", 1, 0);
                crate::braft::__private::Traced::<
                    crate::braft::__private::Owned<str>,
                >::NEW
                    .argument(describe, "sku", 1);
                crate::braft::__private::Own::<crate::braft::__private::Owned<str>>::NEW
                    .whole(describe);
                crate::braft::__private::Own::<crate::braft::__private::Owned<str>>::NEW
                    .inside(describe);
                crate::braft::__private::Traced::<u32>::NEW
                    .argument(describe, "count", 1);
                crate::braft::__private::Own::<u32>::NEW.whole(describe);
                crate::braft::__private::Own::<u32>::NEW.inside(describe);
                crate::braft::__private::Traced::<Answer<u32>>::NEW.answer(describe);
                crate::braft::__private::Own::<Answer<u32>>::NEW.whole(describe);
                crate::braft::__private::Own::<Answer<u32>>::NEW.ok(describe);
                crate::braft::__private::Own::<Answer<u32>>::NEW.err(describe);
            }
            {
                describe.operation(true, "replace", 1, 0);
                crate::braft::__private::Traced::<Stock>::NEW
                    .argument(describe, "with", 1);
                crate::braft::__private::Own::<Stock>::NEW.whole(describe);
                crate::braft::__private::Own::<Stock>::NEW.inside(describe);
                crate::braft::__private::Traced::<Option<Stock>>::NEW.answer(describe);
                crate::braft::__private::Own::<Option<Stock>>::NEW.whole(describe);
                crate::braft::__private::Own::<Option<Stock>>::NEW.ok(describe);
                crate::braft::__private::Own::<Option<Stock>>::NEW.err(describe);
            }
            {
                describe.operation(false, "note", 1, 0);
                crate::braft::__private::Traced::<
                    crate::braft::__private::Owned<Sku>,
                >::NEW
                    .argument(describe, "sku", 1);
                crate::braft::__private::Own::<crate::braft::__private::Owned<Sku>>::NEW
                    .whole(describe);
                crate::braft::__private::Own::<crate::braft::__private::Owned<Sku>>::NEW
                    .inside(describe);
                crate::braft::__private::Traced::<
                    Option<crate::braft::__private::Owned<str>>,
                >::NEW
                    .answer(describe);
                crate::braft::__private::Own::<
                    Option<crate::braft::__private::Owned<str>>,
                >::NEW
                    .whole(describe);
                crate::braft::__private::Own::<
                    Option<crate::braft::__private::Owned<str>>,
                >::NEW
                    .ok(describe);
                crate::braft::__private::Own::<
                    Option<crate::braft::__private::Owned<str>>,
                >::NEW
                    .err(describe);
            }
            #[cfg(feature = "search")]
            {
                describe.operation(false, "search", 1, 0);
                crate::braft::__private::Traced::<
                    crate::braft::__private::Owned<[Tag]>,
                >::NEW
                    .argument(describe, "in", 1);
                crate::braft::__private::Own::<
                    crate::braft::__private::Owned<[Tag]>,
                >::NEW
                    .whole(describe);
                crate::braft::__private::Own::<
                    crate::braft::__private::Owned<[Tag]>,
                >::NEW
                    .inside(describe);
                crate::braft::__private::Traced::<
                    Vec<crate::braft::__private::Owned<Item>>,
                >::NEW
                    .answer(describe);
                crate::braft::__private::Own::<
                    Vec<crate::braft::__private::Owned<Item>>,
                >::NEW
                    .whole(describe);
                crate::braft::__private::Own::<
                    Vec<crate::braft::__private::Owned<Item>>,
                >::NEW
                    .ok(describe);
                crate::braft::__private::Own::<
                    Vec<crate::braft::__private::Owned<Item>>,
                >::NEW
                    .err(describe);
            }
            crate::braft::__private::Traced::<Self::Event>::NEW.event(describe);
            crate::braft::__private::Own::<Self::Event>::NEW.whole(describe);
        }
        const TIMER: ::core::option::Option<&'static str> = ::core::option::Option::Some(
            "expire",
        );
        fn wake(&mut self, context: &mut crate::braft::Context<Self::Event>) {
            Self::expire(self, context)
        }
    }
    impl StockClient {
        /// Takes some away.
        ///
        /// # Errors
        /// If there are too few.
        #[deprecated = "use `sell`"]
        pub fn take(&self, sku: &str, count: u32) -> crate::braft::Call<Answer<u32>> {
            crate::braft::__private::command(
                self,
                &__Command::take {
                    sku: ::std::borrow::ToOwned::to_owned(sku),
                    count,
                },
            )
        }
        /// Calls `Stock::replace`.
        fn replace(&self, with: Stock) -> crate::braft::Call<Option<Stock>> {
            crate::braft::__private::command(self, &__Command::replace { with })
        }
        /// Calls `Stock::note`.
        pub(super) fn note(
            &self,
            sku: &Sku,
        ) -> crate::braft::Call<
            Option<crate::braft::__private::Owned<str>>,
            crate::braft::QueryCall,
        > {
            crate::braft::__private::query(
                self,
                &__Query::note {
                    sku: ::std::borrow::ToOwned::to_owned(sku),
                },
            )
        }
        #[cfg(feature = "search")]
        /// Calls `Stock::search`.
        pub fn search(
            &self,
            r#in: &[Tag],
        ) -> crate::braft::Call<
            Vec<crate::braft::__private::Owned<Item>>,
            crate::braft::QueryCall,
        > {
            crate::braft::__private::query(
                self,
                &__Query::search {
                    r#in: ::std::borrow::ToOwned::to_owned(r#in),
                },
            )
        }
    }
    use crate::braft::__private::Unobjectionable as _;
    const _: () = crate::braft::__private::accept(
        crate::braft::__private::Probe::<Answer<u32>>::COMMAND,
    );
    const _: () = crate::braft::__private::readable::<Answer<u32>>();
    const _: () = crate::braft::__private::accept(
        crate::braft::__private::Probe::<Stock>::COMMAND,
    );
    const _: () = crate::braft::__private::accept(
        crate::braft::__private::Probe::<Option<Stock>>::COMMAND,
    );
    const _: () = crate::braft::__private::accept(
        crate::braft::__private::Probe::<Stock>::COMMAND,
    );
    const _: () = crate::braft::__private::readable::<Option<Stock>>();
    const _: () = crate::braft::__private::accept(
        crate::braft::__private::Probe::<Sku>::QUERY,
    );
    const _: () = crate::braft::__private::accept(
        crate::braft::__private::Probe::<
            Option<crate::braft::__private::Owned<str>>,
        >::QUERY,
    );
    const _: () = crate::braft::__private::readable::<
        Option<crate::braft::__private::Owned<str>>,
    >();
    #[cfg(feature = "search")]
    const _: () = {
        use crate::braft::__private::Unobjectionable as _;
        const _: () = crate::braft::__private::accept(
            crate::braft::__private::Probe::<Tag>::QUERY,
        );
        const _: () = crate::braft::__private::accept(
            crate::braft::__private::Probe::<
                Vec<crate::braft::__private::Owned<Item>>,
            >::QUERY,
        );
        const _: () = crate::braft::__private::accept(
            crate::braft::__private::Probe::<Item>::QUERY,
        );
        const _: () = crate::braft::__private::readable::<
            Vec<crate::braft::__private::Owned<Item>>,
        >();
    };
};
