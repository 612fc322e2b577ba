//! The client's methods: one per operation, and nothing else.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Generics, Path};

use super::command;
use crate::valid::{Argument, Kind, Operation, Service};

pub(super) fn expand(service: &Service) -> TokenStream {
    let client = &service.client;
    let methods = service
        .operations
        .iter()
        .filter(|operation| operation.life.removed.is_none())
        .map(|operation| method(service, operation));
    quote! {
        impl #client {
            #(#methods)*
        }
    }
}

fn method(service: &Service, operation: &Operation) -> TokenStream {
    let braft = &service.braft;
    let Operation { cfgs, ident, .. } = operation;
    let signature = signature(service, operation, &Generics::default());
    let enum_ident = command::ident(operation.kind);
    let send = match operation.kind {
        Kind::Command => quote!(command),
        Kind::Query => quote!(query),
    };
    let fields = operation.arguments.iter().map(field);
    quote! {
        #(#cfgs)*
        #signature {
            #braft::__private::#send(self, &#enum_ident::#ident { #(#fields),* })
        }
    }
}

fn field(argument: &Argument) -> TokenStream {
    let ident = &argument.ident;
    if argument.is_borrowed() {
        quote!(#ident: ::std::borrow::ToOwned::to_owned(#ident))
    } else {
        quote!(#ident)
    }
}

/// The head of a client method, with its docs.
pub(crate) fn signature(
    service: &Service,
    operation: &Operation,
    generics: &Generics,
) -> TokenStream {
    let Operation {
        attributes,
        visibility,
        ident,
        arguments,
        answer,
        ..
    } = operation;
    let braft = &service.braft;
    let doc = (!operation.has_docs()).then(|| {
        let doc = format!(
            " Calls `{}::{}`.",
            state_name(&service.state),
            ident.unraw()
        );
        quote!(#[doc = #doc])
    });
    let arguments = arguments
        .iter()
        .map(|Argument { ident, ty, .. }| quote!(#ident: #ty));
    let call = match operation.kind {
        Kind::Command => quote!(#braft::Call<#answer>),
        Kind::Query => quote!(#braft::Call<#answer, #braft::QueryCall>),
    };
    let (parameters, _, where_clause) = generics.split_for_impl();
    quote! {
        #doc
        #(#attributes)*
        #visibility fn #ident #parameters(&self, #(#arguments),*) -> #call #where_clause
    }
}

fn state_name(state: &Path) -> String {
    state
        .segments
        .last()
        .map_or_else(String::new, |segment| segment.ident.unraw().to_string())
}
