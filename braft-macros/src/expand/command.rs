//! The enums that travel: one variant per operation.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::Ident;

use super::serde_path;
use crate::valid::{Argument, Kind, Operation, Service};

/// The enum of a kind. Types of the user's are in scope around it, so its name is one that nobody
/// else takes.
pub(super) fn ident(kind: Kind) -> Ident {
    let name = match kind {
        Kind::Command => "__Command",
        Kind::Query => "__Query",
    };
    Ident::new(name, Span::call_site())
}

pub(super) fn expand(service: &Service, kind: Kind) -> TokenStream {
    let braft = &service.braft;
    let ident = ident(kind);
    let serde_crate = serde_path(braft);
    let variants = service.operations(kind).map(variant);
    quote! {
        #[doc(hidden)]
        #[derive(#braft::__private::serde::Serialize, #braft::__private::serde::Deserialize)]
        #[serde(crate = #serde_crate)]
        pub enum #ident {
            #(#variants,)*
        }
    }
}

fn variant(operation: &Operation) -> TokenStream {
    let Operation {
        ident,
        cfgs,
        wire_name,
        arguments,
        ..
    } = operation;
    let rename = operation
        .is_renamed()
        .then(|| quote!(#[serde(rename = #wire_name)]));
    let fields = arguments.iter().map(field);
    quote! {
        #(#cfgs)*
        #rename
        #ident { #(#fields),* }
    }
}

fn field(argument: &Argument) -> TokenStream {
    let Argument {
        ident,
        owned,
        options,
        ..
    } = argument;
    let rename = options
        .name
        .as_ref()
        .map(|name| quote!(#[serde(rename = #name)]));
    // Missing in calls of older versions, and left out where they would not know it.
    let optional = options.since.as_ref().map(
        |_| quote!(#[serde(default, skip_serializing_if = "::core::option::Option::is_none")]),
    );
    quote!(#rename #optional #ident: #owned)
}
