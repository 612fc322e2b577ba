//! What `#[raft_service]` stands on.

use proc_macro2::TokenStream;
use syn::{Item, ItemEnum, ItemImpl, ItemStruct, ItemUnion};

/// The annotated item.
pub(crate) enum Input {
    State(ItemStruct),
    Service(ItemImpl),
    /// Not a state, but near enough that a client can stand in for it.
    Enum(ItemEnum),
    Union(ItemUnion),
}

impl Input {
    pub(crate) fn parse(tokens: TokenStream) -> syn::Result<Input> {
        match syn::parse2(tokens)? {
            Item::Struct(item) => Ok(Input::State(item)),
            Item::Impl(item) => Ok(Input::Service(item)),
            Item::Enum(item) => Ok(Input::Enum(item)),
            Item::Union(item) => Ok(Input::Union(item)),
            item => Err(syn::Error::new_spanned(
                item,
                "`#[raft_service]` makes a struct a replicated service: \
                 put it on the struct and on its `impl` block",
            )),
        }
    }
}
