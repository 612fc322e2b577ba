//! Writes the code.

mod client;
mod command;
mod generators;
mod schema;
mod service;
mod state;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemImpl, ItemStruct, Path, Type};

pub(crate) use self::client::signature as client_signature;
pub(crate) use self::service::event;
pub(crate) use self::state::{client as state_client, implementation as state_implementation};

use crate::ast::Input;
use crate::attr::Options;
use crate::problems::Problems;
use crate::{fallback, types, valid, versions};

/// `#[raft_service]`.
pub(crate) fn raft_service(options: TokenStream, item: TokenStream) -> TokenStream {
    match Input::parse(item.clone()) {
        Ok(Input::State(item)) => on_struct(options, item),
        Ok(Input::Service(item)) => on_impl(options, item),
        Ok(Input::Enum(item)) => fallback::enumeration(
            options,
            syn::Error::new_spanned(item.enum_token, ENUM),
            &item,
        ),
        Ok(Input::Union(item)) => fallback::union(
            options,
            syn::Error::new_spanned(item.union_token, UNION),
            &item,
        ),
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#error #item)
        }
    }
}

const ENUM: &str = "the state of a service is a struct, so that fields can be added later; \
                    put the enum into a field of a struct";
const UNION: &str = "the state of a service is a struct: a union cannot be saved in a snapshot";

fn on_struct(options: TokenStream, mut item: ItemStruct) -> TokenStream {
    let mut problems = Problems::default();
    let options = Options::of_state(options, &mut problems);
    valid::check_state(&item, &mut problems);
    let fields = item.fields.iter_mut();
    let since: Vec<_> = fields
        .map(|field| versions::extract_field(field, &mut problems))
        .collect();
    match problems.into_error() {
        None => state::expand(&options, &mut item, &since),
        Some(error) => fallback::state(&options, error, &item),
    }
}

fn on_impl(options: TokenStream, mut item: ItemImpl) -> TokenStream {
    let mut problems = Problems::default();
    let options = Options::of_service(options, &mut problems);
    let service = valid::service(options, &mut item, &mut problems);
    match (service, problems.into_error()) {
        (Some(service), None) => service::expand(&service, &item),
        (service, error) => fallback::service(service.as_ref(), error, &item),
    }
}

/// One check at compile time for each part of a type that can be wrong, on the user's token.
fn type_checks(check: &str, ty: &Type, braft: &Path) -> TokenStream {
    let checks = types::checked_nodes(ty).into_iter().map(|node| {
        let span = node.span();
        let (braft, check) = (at(braft, span), syn::Ident::new(check, span));
        quote_spanned! {span=>
            const _: () = #braft::__private::accept(#braft::__private::Probe::<#node>::#check);
        }
    });
    checks.collect()
}

/// The trait behind the checks, where there are any.
fn import_probe(braft: &Path, checks: &TokenStream) -> TokenStream {
    if checks.is_empty() {
        return TokenStream::new();
    }
    quote!(use #braft::__private::Unobjectionable as _;)
}

/// That a state has what a state needs. Taken for granted here: what is missing is reported once,
/// by the check beside the struct.
pub(crate) fn saved(braft: &Path, state: impl ToTokens) -> TokenStream {
    let span = state.span();
    let braft = at(braft, span);
    quote_spanned!(span=> for<'a> #state: #braft::__private::Saved<'a>)
}

/// The path to braft with a span of the user's: rustc reports an expression on one place only if
/// all its tokens come from there. A path that the user wrote resolves where it was written, so it
/// keeps its own.
fn at(braft: &Path, span: Span) -> TokenStream {
    let is_default = types::path_text(braft) == "::braft";
    let tokens = braft.to_token_stream().into_iter().map(|mut token| {
        if is_default {
            token.set_span(span);
        }
        token
    });
    tokens.collect()
}

/// A path as a string literal, for `#[serde(crate = "…")]`.
fn serde_path(braft: &Path) -> String {
    format!("{}::__private::serde", types::path_text(braft))
}

/// Wraps generated items so that their names are seen by nobody else.
fn hidden(items: impl ToTokens) -> TokenStream {
    quote! {
        const _: () = { #items };
    }
}
