//! What the attribute adds to the struct: the client and the implementation of `State`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Ident, ItemStruct, LitStr, Path, Visibility};

use super::{hidden, type_checks};
use crate::attr::Options;
use crate::valid::client_ident;

pub(super) fn expand(options: &Options, item: &ItemStruct) -> TokenStream {
    let client = client(&options.braft, &item.vis, &item.ident);
    let implementation = implementation(options, &item.ident);
    let checks: TokenStream = item
        .fields
        .iter()
        .map(|field| type_checks("STATE", &field.ty, &options.braft))
        .collect();
    let checks = (!checks.is_empty()).then(|| {
        let braft = &options.braft;
        hidden(quote! {
            use #braft::__private::Unobjectionable as _;
            #checks
        })
    });
    quote! {
        #item
        #client
        #implementation
        #checks
    }
}

/// The client's type, with the visibility of the state.
pub(crate) fn client(braft: &Path, visibility: &Visibility, state: &Ident) -> TokenStream {
    let client = client_ident(state);
    let doc = format!("Typed client of [`{}`].", state.unraw());
    quote! {
        #[doc = #doc]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #client(#braft::Channel);

        impl ::core::convert::From<#braft::Channel> for #client {
            fn from(channel: #braft::Channel) -> Self {
                #client(channel)
            }
        }

        impl ::core::convert::AsRef<#braft::Channel> for #client {
            fn as_ref(&self) -> &#braft::Channel {
                &self.0
            }
        }

        impl #braft::Client for #client {}
    }
}

/// The implementation of `State`.
pub(crate) fn implementation(options: &Options, state: &Ident) -> TokenStream {
    let Options { name, braft } = options;
    let client = client_ident(state);
    let own_name = LitStr::new(&state.unraw().to_string(), state.span());
    let name = name.as_ref().unwrap_or(&own_name);
    // On the user's token, so that a missing `Default` or `Serialize` is reported there.
    let head = quote_spanned!(state.span()=> impl #braft::State for #state);
    quote! {
        #head {
            const NAME: &'static str = #name;
            type Client = #client;
        }
    }
}
