//! Since which version of a service something is known, and from which it is gone.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Expr, ExprLit, Field, FnArg, ImplItemFn, Lit, LitInt, LitStr, Meta, Path, Token,
};

use crate::attr::{is_name, string, unknown};
use crate::problems::Problems;
use crate::types;

/// When an operation or a part of one is there.
#[derive(Clone, Default)]
pub(crate) struct Life {
    /// The version that brought it; the first one unless said otherwise.
    pub(crate) since: Option<LitInt>,
    /// The version that takes it away.
    pub(crate) removed: Option<LitInt>,
}

impl Life {
    /// Whether it is there in all versions.
    pub(crate) fn is_always(&self) -> bool {
        self.since.is_none() && self.removed.is_none()
    }

    /// The first version in which it is there.
    pub(crate) fn first(&self) -> TokenStream {
        number(self.since.as_ref())
    }

    /// The first version in which it is gone; 0 for never.
    pub(crate) fn gone(&self) -> TokenStream {
        self.removed
            .as_ref()
            .map_or_else(|| quote!(0), |removed| quote!(#removed))
    }
}

fn number(version: Option<&LitInt>) -> TokenStream {
    version.map_or_else(|| quote!(1), |version| quote!(#version))
}

/// Reads the number of a version.
pub(crate) fn version(meta: &Meta, problems: &mut Problems) -> Option<LitInt> {
    let read = meta
        .require_name_value()
        .and_then(|pair| match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Int(number),
                ..
            }) if number.base10_parse::<u32>().is_ok_and(|number| number > 0) => Ok(number.clone()),
            value => Err(syn::Error::new_spanned(
                value,
                "expected the number of a version: 1, 2, 3 and so on",
            )),
        });
    problems.take(read)
}

/// `#[arg(…)]`.
#[derive(Clone, Default)]
pub(crate) struct ArgOptions {
    /// The name in the log, if it differs from the argument's.
    pub(crate) name: Option<LitStr>,
    pub(crate) since: Option<LitInt>,
    /// What makes values of it for checks.
    pub(crate) generate: Option<Path>,
}

/// Reads the attributes of a method's arguments and removes those that are ours. In the order of
/// the arguments behind `self`.
pub(crate) fn extract_args(method: &mut ImplItemFn, problems: &mut Problems) -> Vec<ArgOptions> {
    let arguments = method.sig.inputs.iter_mut();
    let arguments = arguments.filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    let options = arguments.map(|argument| {
        let mut options = ArgOptions::default();
        for attribute in extract(&mut argument.attrs, "arg") {
            for meta in options_of(&attribute, problems) {
                if meta.path().is_ident("name") {
                    options.name = problems.take(string(&meta));
                    if let Some(name) = options.name.take_if(|name| !is_name(&name.value())) {
                        problems.on(name, crate::attr::NOT_A_NAME);
                    }
                } else if meta.path().is_ident("since") {
                    options.since = version(&meta, problems);
                } else if meta.path().is_ident("generate") {
                    let expected = "expected the path of a function: `fn(&mut braft::Rng) -> T`";
                    options.generate = crate::attr::path(&meta, expected, problems);
                } else {
                    const VALID: &str = "`name = \"…\"`, `since = version`, `generate = path`";
                    problems.on(&meta, unknown(&meta, VALID));
                }
            }
        }
        if options.since.is_some() && !is_option(&argument.ty) {
            problems.on(
                &argument.ty,
                "an argument that came with a later version is missing in older calls: write \
                 `Option<_>`, which is `None` there",
            );
        }
        options
    });
    options.collect()
}

fn is_option(ty: &syn::Type) -> bool {
    types::last_segment(ty).is_some_and(|segment| segment.ident == "Option")
}

/// Reads a field's `#[field(since = …)]` and removes it.
pub(crate) fn extract_field(field: &mut Field, problems: &mut Problems) -> Option<LitInt> {
    let mut since = None;
    for attribute in extract(&mut field.attrs, "field") {
        for meta in options_of(&attribute, problems) {
            if meta.path().is_ident("since") {
                since = version(&meta, problems);
            } else {
                problems.on(&meta, unknown(&meta, "`since = version`"));
            }
        }
    }
    if let (Some(since), None) = (&since, &field.ident) {
        problems.on(
            since,
            "a field that is missing in older snapshots needs a name: write the struct with braces",
        );
    }
    since
}

fn extract(attributes: &mut Vec<Attribute>, name: &str) -> Vec<Attribute> {
    attributes
        .extract_if(.., |attribute| attribute.path().is_ident(name))
        .collect()
}

fn options_of(attribute: &Attribute, problems: &mut Problems) -> Punctuated<Meta, Token![,]> {
    let read = attribute.parse_args_with(Punctuated::parse_terminated);
    problems.take(read).unwrap_or_default()
}
