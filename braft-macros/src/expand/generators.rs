//! What makes values for checks, where the user has named something.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Path, Type};

use crate::generate::OfType;
use crate::valid::{Argument, Operation, Service};

pub(super) fn expand(service: &Service) -> TokenStream {
    let braft = &service.braft;
    let operations = service.operations.iter();
    let of_arguments = operations.flat_map(|operation| {
        let arguments = operation.arguments.iter();
        arguments.filter_map(|argument| of_argument(braft, operation, argument))
    });
    let of_types = service.generate.iter();
    let of_types = of_types.map(|OfType { ty, path }| {
        let makes = quote!(Type(::core::any::type_name::<#ty>));
        generator(braft, &makes, ty, path)
    });
    let generators: Vec<_> = of_arguments.chain(of_types).collect();
    if generators.is_empty() {
        return TokenStream::new();
    }
    quote! {
        const __GENERATORS: &'static [#braft::__private::Generator] = &[#(#generators),*];
    }
}

fn of_argument(braft: &Path, operation: &Operation, argument: &Argument) -> Option<TokenStream> {
    let generate = argument.options.generate.as_ref()?;
    let Operation {
        cfgs, wire_name, ..
    } = operation;
    let name = argument.wire_name();
    let makes = quote!(Argument { method: #wire_name, argument: #name });
    let generator = generator(braft, &makes, &argument.owned, generate);
    Some(quote!(#(#cfgs)* #generator))
}

fn generator(braft: &Path, makes: &TokenStream, ty: &Type, generate: &Path) -> TokenStream {
    let (rng, made) = (
        Ident::new("rng", Span::mixed_site()),
        Ident::new("made", Span::mixed_site()),
    );
    // A function of another type is reported where it is named.
    let call = quote_spanned!(generate.span()=> #generate(#rng));
    quote! {
        #braft::__private::Generator {
            makes: #braft::__private::Makes::#makes,
            make: |#rng: &mut #braft::Rng| {
                let #made: #ty = #call;
                #braft::__private::generated(&#made)
            },
        }
    }
}
