//! What the attribute adds to the `impl` block: the implementation of `Service`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemImpl, Path};

use super::{client, command, hidden, type_checks};
use crate::valid::{Kind, Operation, Service};

pub(super) fn expand(service: &Service, item: &ItemImpl) -> TokenStream {
    let commands = command::expand(service, Kind::Command);
    let queries = command::expand(service, Kind::Query);
    let implementation = implementation(service);
    let client = client::expand(service);
    let checks = checks(service);
    let items = hidden(quote! {
        #commands
        #queries
        #implementation
        #client
        #checks
    });
    // The operations' names are the user's: they need not be in the case of variants, and what is
    // true of the methods (deprecated, unused, too many arguments) is said of them once.
    quote! {
        #item
        #[allow(
            non_camel_case_types,
            non_snake_case,
            deprecated,
            dead_code,
            private_interfaces,
            unreachable_pub,
            clippy::all,
            clippy::pedantic
        )]
        #items
    }
}

fn implementation(service: &Service) -> TokenStream {
    let Service { braft, state, .. } = service;
    let (command, query) = (command::ident(Kind::Command), command::ident(Kind::Query));
    let event = event(service);
    let methods = service
        .operations
        .iter()
        .map(|operation| method(braft, operation));
    let apply = dispatch(service, Kind::Command);
    let answer = dispatch(service, Kind::Query);
    let head = quote_spanned!(state.span()=> impl #braft::Service for #state);
    quote! {
        #head {
            type Event = #event;
            type Command = #command;
            type Query = #query;

            const METHODS: &'static [#braft::Method] = &[#(#methods),*];

            #apply
            #answer
        }
    }
}

/// What the contexts say about events.
pub(crate) fn event(service: &Service) -> TokenStream {
    let braft = &service.braft;
    match &service.context {
        None => quote!(#braft::NoEvents),
        Some(context) => quote_spanned! {context.span()=>
            <#context as #braft::__private::EventOf>::Event
        },
    }
}

fn method(braft: &Path, operation: &Operation) -> TokenStream {
    let Operation {
        cfgs, wire_name, ..
    } = operation;
    let is_command = operation.kind == Kind::Command;
    let summary = operation.summary();
    quote! {
        #(#cfgs)*
        #braft::Method::__new(#wire_name, #is_command, #summary)
    }
}

/// `apply` or `query`: decoded operations to method calls, answers to bytes.
fn dispatch(service: &Service, kind: Kind) -> TokenStream {
    let braft = &service.braft;
    // Arguments carry the user's names; these are invisible to them.
    let local = |name| Ident::new(name, Span::mixed_site());
    let (context, operation) = match kind {
        Kind::Command => (local("context"), local("command")),
        Kind::Query => (local("context"), local("query")),
    };
    let uses_context = service
        .operations(kind)
        .any(|operation| operation.takes_context);
    let context_pattern = if uses_context {
        quote!(#context)
    } else {
        quote!(_)
    };
    let arms = service
        .operations(kind)
        .map(|operation| arm(braft, operation, &context));
    let ident = command::ident(kind);
    let head = match kind {
        Kind::Command => quote! {
            fn apply(
                &mut self,
                #context_pattern: &mut #braft::Context<Self::Event>,
                #operation: #ident,
            )
        },
        Kind::Query => quote! {
            fn query(&self, #context_pattern: &#braft::Context<Self::Event>, #operation: #ident)
        },
    };
    quote! {
        #head -> ::core::result::Result<::std::vec::Vec<u8>, #braft::Error> {
            match #operation {
                #(#arms)*
            }
        }
    }
}

fn arm(braft: &Path, operation: &Operation, context: &Ident) -> TokenStream {
    let Operation { cfgs, ident, .. } = operation;
    let enum_ident = command::ident(operation.kind);
    let fields = operation.arguments.iter().map(|argument| &argument.ident);
    let context = operation.takes_context.then(|| quote!(#context,));
    let arguments = operation.arguments.iter().map(|argument| {
        let ident = &argument.ident;
        let borrow = argument.is_borrowed().then(|| quote!(&));
        quote!(#borrow #ident)
    });
    let encode = match operation.kind {
        Kind::Command => quote!(command_answer),
        Kind::Query => quote!(query_answer),
    };
    quote! {
        #(#cfgs)*
        #enum_ident::#ident { #(#fields),* } => {
            #braft::__private::#encode(&Self::#ident(self, #context #(#arguments),*))
        }
    }
}

/// Checks of what the tokens cannot show: types behind aliases, missing implementations of serde.
fn checks(service: &Service) -> TokenStream {
    let braft = &service.braft;
    let checks: TokenStream = service
        .operations
        .iter()
        .map(|operation| {
            let check = match operation.kind {
                Kind::Command => "COMMAND",
                Kind::Query => "QUERY",
            };
            let cfgs = &operation.cfgs;
            let arguments = operation.arguments.iter().map(|argument| &argument.owned);
            let checks = arguments
                .chain([&operation.answer])
                .map(|ty| type_checks(check, ty, braft))
                .collect::<TokenStream>();
            if cfgs.is_empty() {
                checks
            } else {
                let checks = (!checks.is_empty()).then(|| {
                    hidden(quote! {
                        use #braft::__private::Unobjectionable as _;
                        #checks
                    })
                });
                quote!(#(#cfgs)* #checks)
            }
        })
        .collect();
    if checks.is_empty() {
        return TokenStream::new();
    }
    quote! {
        use #braft::__private::Unobjectionable as _;
        #checks
    }
}
