//! Code for refused input: the errors, the user's item, and stubs in place of what is missing, so
//! that code which uses the service gives no second error.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Generics, Ident, ItemEnum, ItemImpl, ItemStruct, ItemUnion, Visibility};

use crate::attr::Options;
use crate::expand;
use crate::problems::Problems;
use crate::valid::{Operation, Service};

/// A struct that was refused.
pub(crate) fn state(options: &Options, error: Error, item: &ItemStruct) -> TokenStream {
    let error = error.into_compile_error();
    let client = state_client(options, &item.vis, &item.ident, &item.generics);
    let implementation = if item.generics.params.is_empty() {
        expand::state_implementation(options, &item.ident, &TokenStream::new())
    } else {
        generic_state(options, &item.ident, &item.generics)
    };
    quote!(#error #item #client #implementation)
}

/// The client. What is generic cannot be named as its state.
fn state_client(
    options: &Options,
    visibility: &Visibility,
    state: &Ident,
    generics: &Generics,
) -> TokenStream {
    let braft = &options.braft;
    let of = if generics.params.is_empty() {
        quote!(#state)
    } else {
        quote!(#braft::__private::Refused)
    };
    expand::state_client(options, visibility, state, &of)
}

/// `State` for a generic struct, wherever it has what a state needs.
fn generic_state(options: &Options, state: &Ident, generics: &Generics) -> TokenStream {
    let braft = &options.braft;
    let client = crate::valid::client_ident(state);
    let mut generics = generics.clone();
    generics
        .make_where_clause()
        .predicates
        .push(syn::parse_quote!(for<'a> Self: #braft::__private::Saved<'a>));
    let (parameters, arguments, where_clause) = generics.split_for_impl();
    quote! {
        impl #parameters #braft::State for #state #arguments #where_clause {
            const NAME: &'static str = "";
            type Client = #client;
        }
    }
}

/// An enum: all but its shape is like a state.
pub(crate) fn enumeration(options: TokenStream, error: Error, item: &ItemEnum) -> TokenStream {
    let (options, error) = read_options(options, error);
    let client = state_client(&options, &item.vis, &item.ident, &item.generics);
    let implementation = expand::state_implementation(&options, &item.ident, &TokenStream::new());
    quote!(#error #item #client #implementation)
}

/// A union: serde cannot derive anything for it, so it cannot even look like a state.
pub(crate) fn union(options: TokenStream, error: Error, item: &ItemUnion) -> TokenStream {
    let (options, error) = read_options(options, error);
    let client = state_client(&options, &item.vis, &item.ident, &item.generics);
    quote!(#error #item #client)
}

/// The options, and all errors so far.
fn read_options(options: TokenStream, error: Error) -> (Options, Option<TokenStream>) {
    let mut problems = Problems::default();
    problems.add(error);
    let options = Options::of_state(options, &mut problems);
    (
        options,
        problems.into_error().map(Error::into_compile_error),
    )
}

/// An `impl` block that was refused; without a service if it cannot be one at all.
pub(crate) fn service(
    service: Option<&Service>,
    error: Option<Error>,
    item: &ItemImpl,
) -> TokenStream {
    let error = error.map(Error::into_compile_error);
    let stubs = service.map(|service| stubs(service, &item.generics, &item.self_ty));
    quote!(#error #item #stubs)
}

fn stubs(service: &Service, generics: &Generics, self_ty: &syn::Type) -> TokenStream {
    let Service { braft, client, .. } = service;
    let event = expand::event(service);
    let mut bounded = generics.clone();
    let bound = if generics.params.is_empty() {
        let saved = expand::saved(braft, self_ty);
        syn::parse_quote!(#saved)
    } else {
        syn::parse_quote!(Self: #braft::State)
    };
    bounded.make_where_clause().predicates.push(bound);
    let (parameters, _, where_clause) = bounded.split_for_impl();
    let methods = service
        .operations
        .iter()
        .map(|operation| method(service, operation, generics));
    let result = quote!(::core::result::Result<::std::vec::Vec<u8>, #braft::Error>);
    quote! {
        const _: () = {
            impl #parameters #braft::Service for #self_ty #where_clause {
                #event
                type Command = #braft::__private::Refused;
                type Query = #braft::__private::Refused;
                const METHODS: &'static [#braft::Method] = &[];

                fn apply(
                    &mut self,
                    _: &mut #braft::Context<Self::Event>,
                    command: Self::Command,
                ) -> #result {
                    match command {}
                }

                fn query(&self, _: &#braft::Context<Self::Event>, query: Self::Query) -> #result {
                    match query {}
                }
            }

            impl #client {
                #(#methods)*
            }
        };
    }
}

/// A client method that compiles for callers. What is generic becomes so here too.
fn method(service: &Service, operation: &Operation, outer: &Generics) -> TokenStream {
    let mut generics = outer.clone();
    generics
        .params
        .extend(operation.generics.params.iter().cloned());
    if let Some(clause) = &operation.generics.where_clause {
        let predicates = clause.predicates.iter().cloned();
        generics.make_where_clause().predicates.extend(predicates);
    }
    let signature = expand::client_signature(service, operation, &generics);
    quote! {
        #[allow(unused_variables)]
        #signature {
            ::core::unreachable!()
        }
    }
}
