//! What generated code says of itself: types for the schema, and versions.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{ItemStruct, LitInt, Path, parse_quote};

use super::{at, command};
use crate::attr::Options;
use crate::types;
use crate::valid::{Kind, Operation, Service};

/// The version of a state, its fields' versions, and its migration.
pub(super) fn of_state(
    options: &Options,
    item: &ItemStruct,
    since: &[Option<LitInt>],
) -> TokenStream {
    let braft = &options.braft;
    let version = options
        .version
        .as_ref()
        .map(|version| quote!(const VERSION: u32 = #version;));
    let fields = item.fields.iter().zip(since);
    let fields: Vec<_> = fields
        .filter_map(|(field, since)| {
            let (ident, since) = (field.ident.as_ref()?, since.as_ref()?);
            let name = ident.unraw().to_string();
            Some(quote!((#name, #since)))
        })
        .collect();
    let fields = (!fields.is_empty())
        .then(|| quote!(const FIELDS_SINCE: &'static [(&'static str, u32)] = &[#(#fields),*];));
    let migration = options.migrate.as_ref().map(|path| {
        let braft = at(braft, path.span());
        quote_spanned! {path.span()=>
            fn __migration() -> ::core::option::Option<#braft::__private::Migration<Self>> {
                ::core::option::Option::Some(#braft::__private::Migration::new(#path))
            }
        }
    });
    quote!(#version #fields #migration)
}

/// Leaves out fields that older versions do not have for as long as they hold nothing.
pub(super) fn make_optional(options: &Options, item: &mut ItemStruct, since: &[Option<LitInt>]) {
    let is_default = format!(
        "{}::__private::is_default",
        types::path_text(&options.braft)
    );
    for (field, since) in item.fields.iter_mut().zip(since) {
        if since.is_some() {
            field
                .attrs
                .push(parse_quote!(#[serde(default, skip_serializing_if = #is_default)]));
        }
    }
}

/// That no field comes with a version that the state has not reached.
pub(super) fn check_fields(
    options: &Options,
    item: &ItemStruct,
    since: &[Option<LitInt>],
) -> TokenStream {
    let state = &item.ident;
    let checks = since.iter().flatten().map(|since| {
        let braft = at(&options.braft, since.span());
        quote_spanned! {since.span()=>
            const _: () = #braft::__private::reached(#since, <#state as #braft::State>::VERSION);
        }
    });
    checks.collect()
}

/// That no operation or argument comes with a version that the state has not reached.
pub(super) fn check_versions(service: &Service) -> TokenStream {
    let state = &service.state;
    let operations = service.operations.iter();
    let checks = operations.flat_map(|operation| {
        let arguments = operation.arguments.iter();
        let arguments = arguments.filter_map(|argument| argument.options.since.as_ref());
        let own = [&operation.life.since, &operation.life.removed];
        let versions = own.into_iter().flatten().chain(arguments);
        versions.map(|version| {
            let braft = at(&service.braft, version.span());
            quote_spanned! {version.span()=>
                const _: () =
                    #braft::__private::reached(#version, <#state as #braft::State>::VERSION);
            }
        })
    });
    checks.collect()
}

/// The types of all operations, and which calls belong to which versions.
pub(super) fn of_service(service: &Service) -> TokenStream {
    let braft = &service.braft;
    if service.operations.is_empty() {
        return TokenStream::new();
    }
    let operations = service.operations.iter();
    let operations = operations.map(|operation| describe(braft, operation));
    let commands = lives(service, Kind::Command);
    let queries = lives(service, Kind::Query);
    // Of contexts that name no type of event it is none that can be written.
    let event = service.context.as_ref().map(|_| {
        quote! {
            #braft::__private::Traced::<Self::Event>::NEW.event(describe);
            #braft::__private::Own::<Self::Event>::NEW.whole(describe);
        }
    });
    // The parameter is in scope where types of the user's are named: nobody else takes its name.
    quote! {
        #[allow(unused_imports)]
        fn __describe<__Describe: #braft::__private::Describe>(describe: &mut __Describe) {
            use #braft::__private::{NotOwn as _, Untraced as _};
            #(#operations)*
            #event
        }
        #commands
        #queries
    }
}

/// What lacks `Deserialize` is reported where it stands, and not for this.
fn describe(braft: &Path, operation: &Operation) -> TokenStream {
    let Operation {
        cfgs,
        wire_name,
        answer,
        ..
    } = operation;
    let is_command = operation.kind == Kind::Command;
    let (first, gone) = (operation.life.first(), operation.life.gone());
    let arguments = operation.arguments.iter().map(|argument| {
        let (name, owned) = (argument.wire_name(), &argument.owned);
        let since = argument.options.since.as_ref();
        let since = since.map_or_else(|| quote!(1), |since| quote!(#since));
        quote! {
            #braft::__private::Traced::<#owned>::NEW.argument(describe, #name, #since);
            #braft::__private::Own::<#owned>::NEW.whole(describe);
            #braft::__private::Own::<#owned>::NEW.inside(describe);
        }
    });
    quote! {
        #(#cfgs)*
        {
            describe.operation(#is_command, #wire_name, #first, #gone);
            #(#arguments)*
            #braft::__private::Traced::<#answer>::NEW.answer(describe);
            #braft::__private::Own::<#answer>::NEW.whole(describe);
            #braft::__private::Own::<#answer>::NEW.ok(describe);
            #braft::__private::Own::<#answer>::NEW.err(describe);
        }
    }
}

/// Says of a call in which versions it is known; nothing where all calls are in all of them.
fn lives(service: &Service, kind: Kind) -> Option<TokenStream> {
    let braft = &service.braft;
    service
        .operations(kind)
        .any(Operation::has_life)
        .then_some(())?;
    let enum_ident = command::ident(kind);
    let arms = service.operations(kind).map(|operation| {
        let Operation { ident, cfgs, .. } = operation;
        let (first, gone) = (operation.life.first(), operation.life.gone());
        let added = operation.arguments.iter();
        let added =
            added.filter_map(|argument| Some((&argument.ident, argument.options.since.as_ref()?)));
        let (names, versions): (Vec<_>, Vec<_>) = added.unzip();
        quote! {
            #(#cfgs)*
            #enum_ident::#ident { #(#names,)* .. } => #braft::__private::Life::new(#first, #gone)
                #(.with(::core::option::Option::is_some(#names), #versions))*,
        }
    });
    let (method, own) = match kind {
        Kind::Command => (quote!(__command_life), quote!(Self::Command)),
        Kind::Query => (quote!(__query_life), quote!(Self::Query)),
    };
    Some(quote! {
        fn #method(operation: &#own) -> #braft::__private::Life {
            match operation {
                #(#arms)*
            }
        }
    })
}
