//! `#[braft::test]`: an `async fn` on a cluster of its own.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{
    Expr, ExprLit, FnArg, ItemFn, Lit, Meta, MetaNameValue, Path, ReturnType, Token, parse_quote,
};

use crate::problems::Problems;
use crate::types;

const DEFAULT_NODES: usize = 3;
/// Beyond this a test says nothing new and only takes longer.
const MAX_NODES: usize = 9;

struct Options {
    nodes: usize,
    braft: Path,
}

/// Expands the attribute.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut problems = Problems::default();
    let options = Options::parse(options, &mut problems);
    let function = problems.take(syn::parse2::<ItemFn>(item.clone()));
    if let Some(function) = &function {
        check(function, &mut problems);
    }
    match (function, problems.into_error()) {
        (Some(function), None) => run(&options, &function),
        (_, error) => {
            let error = error.map(syn::Error::into_compile_error);
            // The function stays, so that what only it uses is not reported as unused.
            quote!(#error #[allow(dead_code)] #item)
        }
    }
}

impl Options {
    fn parse(tokens: TokenStream, problems: &mut Problems) -> Options {
        let mut options = Options {
            nodes: DEFAULT_NODES,
            braft: parse_quote!(::braft),
        };
        let metas = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens);
        for meta in problems.take(metas).unwrap_or_default() {
            match &meta {
                Meta::NameValue(pair) if pair.path.is_ident("nodes") => {
                    options.nodes = problems.take(nodes(pair)).unwrap_or(DEFAULT_NODES);
                }
                Meta::NameValue(MetaNameValue {
                    path,
                    value: Expr::Path(value),
                    ..
                }) if path.is_ident("crate") => options.braft = value.path.clone(),
                meta => problems.on(
                    meta,
                    format!(
                        "unknown option `{}`; valid here: `nodes = 3`, `crate = path`",
                        types::path_text(meta.path())
                    ),
                ),
            }
        }
        options
    }
}

fn nodes(pair: &MetaNameValue) -> syn::Result<usize> {
    let number = match &pair.value {
        Expr::Lit(ExprLit {
            lit: Lit::Int(number),
            ..
        }) => number.base10_parse().ok(),
        _ => None,
    };
    number
        .filter(|nodes| (1..=MAX_NODES).contains(nodes))
        .ok_or_else(|| {
            let message = format!("`nodes` is a number from 1 to {MAX_NODES}");
            syn::Error::new_spanned(&pair.value, message)
        })
}

fn check(function: &ItemFn, problems: &mut Problems) {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        problems.on(
            signature.fn_token,
            "a test on a cluster waits for it: write `async fn`",
        );
    }
    if !signature.generics.params.is_empty() {
        problems.on(
            &signature.generics,
            "a test cannot be generic: nobody calls it with types",
        );
    }
    if signature.inputs.len() != 1 || !matches!(signature.inputs.first(), Some(FnArg::Typed(_))) {
        let tokens = match signature.inputs.is_empty() {
            true => signature.ident.to_token_stream(),
            false => signature.inputs.to_token_stream(),
        };
        problems.on(
            tokens,
            "a test on a cluster takes the cluster and nothing else: write \
             `cluster: Cluster<YourService>`; for a test without one use `#[test]`",
        );
    }
    if let ReturnType::Default = signature.output {
        problems.on(
            &signature.ident,
            "a test on a cluster returns a `TestResult`: write `-> TestResult` and end with \
             `Ok(())`",
        );
    }
    for attribute in &function.attrs {
        if attribute.path().is_ident("test") {
            problems.on(
                attribute,
                "`#[braft::test]` is a `#[test]` already: remove this one",
            );
        }
    }
}

fn run(options: &Options, function: &ItemFn) -> TokenStream {
    let braft = &options.braft;
    let nodes = Literal::usize_unsuffixed(options.nodes);
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
        ..
    } = function;
    let ident = &sig.ident;
    let name = ident.to_string();
    // A test that should panic must not pass because it returned an error.
    let should_panic = attrs
        .iter()
        .any(|attribute| attribute.path().is_ident("should_panic"));
    let run_test = if should_panic {
        quote!(run_test_that_should_panic)
    } else {
        quote!(run_test)
    };
    let run = quote! {
        #braft::testing::#run_test(
            #nodes,
            ::core::concat!(::core::module_path!(), "::", #name),
            #ident,
        )
    };
    quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #ident() {
            #sig #block

            #run
        }
    }
}
