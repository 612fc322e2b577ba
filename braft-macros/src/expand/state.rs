//! What the attribute adds to the struct: the client and the implementation of `State`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Ident, ItemStruct, LitStr, Visibility};

use super::{at, hidden, import_probe, type_checks};
use crate::attr::Options;
use crate::valid::client_ident;

pub(super) fn expand(options: &Options, item: &ItemStruct) -> TokenStream {
    let client = client(options, &item.vis, &item.ident);
    let implementation = implementation(options, &item.ident);
    let checks: TokenStream = item
        .fields
        .iter()
        .map(|field| type_checks("STATE", &field.ty, &options.braft))
        .collect();
    let checks = (!checks.is_empty()).then(|| {
        let import = import_probe(&options.braft, &checks);
        hidden(quote!(#import #checks))
    });
    quote! {
        #item
        #client
        #implementation
        #checks
    }
}

/// The client's type, with the visibility of the state.
pub(crate) fn client(options: &Options, visibility: &Visibility, state: &Ident) -> TokenStream {
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

            fn channel(&self) -> &#braft::Channel {
                &self.0
            }
        }
    }
}

/// The implementation of `State`.
pub(crate) fn implementation(options: &Options, state: &Ident) -> TokenStream {
    let client = client_ident(state);
    let name = name(options, state);
    // On the user's token, so that a missing `Default` or `Serialize` is reported there.
    let braft = at(&options.braft, state.span());
    let head = quote_spanned!(state.span()=> impl #braft::State for #state);
    quote! {
        #head {
            const NAME: &'static str = #name;
            type Client = #client;
        }
    }
}

fn name(options: &Options, state: &Ident) -> LitStr {
    let own_name = || LitStr::new(&state.unraw().to_string(), state.span());
    options.name.clone().unwrap_or_else(own_name)
}
