//! What the attribute adds to the `impl` block: the implementation of `Service`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{ItemImpl, LitStr, Path};

use super::{at, client, command, generators, hidden, import_probe, saved, schema, type_checks};
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
    let description = schema::of_service(service);
    let timer = timer(service);
    let generators = generators::expand(service);
    let head = {
        let saved = saved(braft, state);
        let braft = at(braft, state.span());
        quote_spanned!(state.span()=> impl #braft::Service for #state where #saved)
    };
    quote! {
        #head {
            #event
            type Command = #command;
            type Query = #query;

            const METHODS: &'static [#braft::Method] = &[#(#methods),*];
            const IS_CHECKED: bool = ::core::cfg!(debug_assertions);

            #apply
            #answer
            #description
            #timer
            #generators
        }
    }
}

/// What runs when a wake is due.
fn timer(service: &Service) -> TokenStream {
    let Some(timer) = &service.timer else {
        return TokenStream::new();
    };
    let name = LitStr::new(&timer.ident.unraw().to_string(), timer.ident.span());
    let context_span = service
        .context
        .as_ref()
        .map_or(Span::call_site(), Spanned::span);
    let context_type = {
        let braft = at(&service.braft, context_span);
        quote_spanned!(context_span=> #braft::Context<Self::Event>)
    };
    let context = Ident::new("context", Span::mixed_site().located_at(context_span));
    let pattern = if timer.takes_context {
        quote!(#context)
    } else {
        quote!(_)
    };
    let argument = timer.takes_context.then(|| quote!(, #context));
    let ident = &timer.ident;
    quote! {
        const TIMER: ::core::option::Option<&'static str> = ::core::option::Option::Some(#name);

        fn wake(&mut self, #pattern: &mut #context_type) {
            Self::#ident(self #argument)
        }
    }
}

/// The associated type: what the contexts say about events. On the context's token, so that an
/// event type which is private, or a context which is none, is reported there.
pub(crate) fn event(service: &Service) -> TokenStream {
    let braft = &service.braft;
    let Some(context) = &service.context else {
        return quote!(type Event = #braft::NoEvents;);
    };
    let braft = at(braft, context.span());
    quote_spanned! {context.span()=>
        type Event = <#context as #braft::__private::EventOf>::Event;
    }
}

fn method(braft: &Path, operation: &Operation) -> TokenStream {
    let Operation {
        cfgs, wire_name, ..
    } = operation;
    let is_command = operation.kind == Kind::Command;
    let summary = operation.summary();
    let life = operation.has_life().then(|| {
        let arguments = operation.arguments.iter();
        let latest = arguments.filter_map(|argument| argument.options.since.as_ref());
        let (first, gone) = (operation.life.first(), operation.life.gone());
        quote!(.__living(#first, #gone, &[#(#latest),*]))
    });
    quote! {
        #(#cfgs)*
        #braft::Method::__new(#wire_name, #is_command, #summary)#life
    }
}

/// `apply` or `query`: decoded operations to method calls, answers to bytes.
fn dispatch(service: &Service, kind: Kind) -> TokenStream {
    let braft = &service.braft;
    // A first argument that only looks like a context is reported where it stands.
    let context_span = service
        .context
        .as_ref()
        .map_or(Span::call_site(), Spanned::span);
    // Arguments carry the user's names; these are invisible to them.
    let context = Ident::new("context", Span::mixed_site().located_at(context_span));
    let operation = Ident::new("operation", Span::mixed_site());
    let uses_context = service
        .operations(kind)
        .any(|operation| operation.takes_context);
    let context_pattern = if uses_context {
        quote!(#context)
    } else {
        quote!(_)
    };
    let context_type = {
        let braft = at(braft, context_span);
        quote_spanned!(context_span=> #braft::Context<Self::Event>)
    };
    let arms = service
        .operations(kind)
        .map(|operation| arm(braft, operation, &context));
    let ident = command::ident(kind);
    let head = match kind {
        Kind::Command => quote! {
            fn apply(&mut self, #context_pattern: &mut #context_type, #operation: #ident)
        },
        Kind::Query => quote! {
            fn query(&self, #context_pattern: &#context_type, #operation: #ident)
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
    // An answer that serde cannot write is reported on its type.
    let span = operation.answer_span;
    let encode = match operation.kind {
        Kind::Command => Ident::new("command_answer", span),
        Kind::Query => Ident::new("query_answer", span),
    };
    let braft = at(braft, span);
    let answer = quote_spanned! {span=>
        #braft::__private::#encode(&Self::#ident(self, #context #(#arguments),*))
    };
    quote! {
        #(#cfgs)*
        #enum_ident::#ident { #(#fields),* } => #answer,
    }
}

/// Checks of what the tokens cannot show: types behind aliases, answers that nobody can read.
fn checks(service: &Service) -> TokenStream {
    let braft = &service.braft;
    let checks = service
        .operations
        .iter()
        .map(|operation| operation_checks(braft, operation));
    let checks: TokenStream = checks.collect();
    let import = import_probe(braft, &checks);
    let versions = schema::check_versions(service);
    quote!(#import #checks #versions)
}

/// Also checks that the client can read the answer, since nothing else does before it is awaited.
fn answer_checks(check: &str, operation: &Operation, braft: &Path) -> TokenStream {
    let answer = &operation.answer;
    let checks = type_checks(check, answer, braft);
    if checks.is_empty() {
        return checks;
    }
    let span = operation.answer_span;
    let braft = at(braft, span);
    quote_spanned! {span=>
        #checks
        const _: () = #braft::__private::readable::<#answer>();
    }
}

fn operation_checks(braft: &Path, operation: &Operation) -> TokenStream {
    let check = match operation.kind {
        Kind::Command => "COMMAND",
        Kind::Query => "QUERY",
    };
    let arguments = operation.arguments.iter().map(|argument| &argument.owned);
    let mut checks: TokenStream = arguments.map(|ty| type_checks(check, ty, braft)).collect();
    checks.extend(answer_checks(check, operation, braft));
    if operation.cfgs.is_empty() || checks.is_empty() {
        return checks;
    }
    let import = import_probe(braft, &checks);
    let checks = hidden(quote!(#import #checks));
    let cfgs = &operation.cfgs;
    quote!(#(#cfgs)* #checks)
}
