//! What the attribute adds to the struct: the client and the implementation of `State`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Ident, ItemStruct, LitInt, LitStr, Path, Visibility};

use super::{at, hidden, import_probe, saved, schema, type_checks};
use crate::attr::Options;
use crate::types;
use crate::valid::client_ident;

pub(super) fn expand(
    options: &Options,
    item: &mut ItemStruct,
    since: &[Option<LitInt>],
) -> TokenStream {
    let state = item.ident.to_token_stream();
    let client = client(options, &item.vis, &item.ident, &state);
    let mut own = schema::of_state(options, item, since);
    own.extend(freeze(options, item));
    let implementation = implementation(options, &item.ident, &own);
    let mut checks = checks(options, item);
    checks.extend(schema::check_fields(options, item, since));
    schema::make_optional(options, item, since);
    quote! {
        #item
        #client
        #implementation
        #checks
    }
}

/// What the state and its fields must be, on the user's tokens.
fn checks(options: &Options, item: &ItemStruct) -> TokenStream {
    let braft = &options.braft;
    let of_fields = item.fields.iter();
    let of_fields = of_fields.map(|field| type_checks("STATE", &field.ty, braft));
    let of_fields: TokenStream = of_fields.collect();
    let of_state = state_checks(braft, item);
    let import = import_probe(braft, &of_fields);
    hidden(quote! {
        #import
        #of_fields
        use #braft::__private::Bare as _;
        #of_state
    })
}

fn state_checks(braft: &Path, item: &ItemStruct) -> TokenStream {
    let state = &item.ident;
    let fields = item.fields.iter();
    let fields = fields.flat_map(|field| types::checked_nodes(&field.ty));
    let braft = at(braft, state.span());
    quote_spanned! {state.span()=>
        const _: () = #braft::__private::state::<#state, _, _, _>(
            &#braft::__private::Probe::<#state>::DEFAULT,
            &#braft::__private::Probe::<#state>::SERIALIZE,
            &#braft::__private::Probe::<#state>::DESERIALIZE,
        );
        const _: () = #braft::__private::shared(
            #braft::__private::Probe::<#state>::SHARED,
            &[#(#braft::__private::Probe::<#fields>::STATE),*],
        );
    }
}

/// The client's type, with the visibility of the state.
///
/// `of` is the state as a type.
pub(crate) fn client(
    options: &Options,
    visibility: &Visibility,
    state: &Ident,
    of: &TokenStream,
) -> TokenStream {
    let braft = &options.braft;
    let client = client_ident(state);
    let name = name(options, state);
    let doc = format!(" Typed client of [`{}`].", state.unraw());
    quote! {
        #[doc = #doc]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #client(#braft::Channel);

        impl ::core::convert::From<#braft::Channel> for #client {
            fn from(channel: #braft::Channel) -> Self {
                #client(channel)
            }
        }

        impl #braft::Client for #client {}

        impl #braft::__private::Connected for #client {
            const SERVICE: &'static str = #name;
            type State = #of;

            fn channel(&self) -> &#braft::Channel {
                &self.0
            }
        }
    }
}

/// The implementation of `State`, with what it has of its own.
pub(crate) fn implementation(options: &Options, state: &Ident, own: &TokenStream) -> TokenStream {
    let client = client_ident(state);
    let name = name(options, state);
    let braft = at(&options.braft, state.span());
    let saved = saved(&options.braft, state);
    let head = quote_spanned!(state.span()=> impl #braft::State for #state where #saved);
    quote! {
        #head {
            const NAME: &'static str = #name;
            type Client = #client;
            #own
        }
    }
}

/// Freezes the fields one by one. Which of them can be frozen cheaply, the compiler knows alone.
fn freeze(options: &Options, item: &ItemStruct) -> TokenStream {
    let braft = &options.braft;
    let fields = item
        .fields
        .members()
        .map(|member| quote!(#member: #braft::__private::Freezing(&self.#member).freeze()?));
    quote! {
        #[allow(unused_imports)]
        fn freeze(&self) -> ::core::option::Option<Self> {
            use #braft::__private::NotCheap as _;
            ::core::option::Option::Some(Self { #(#fields),* })
        }
    }
}

fn name(options: &Options, state: &Ident) -> LitStr {
    let own_name = || LitStr::new(&state.unraw().to_string(), state.span());
    options.name.clone().unwrap_or_else(own_name)
}
