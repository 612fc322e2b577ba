//! `generate(Type = path)`: functions that make values of a type for checks.

use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Meta, Path, Token, Type};

use crate::problems::Problems;
use crate::types;

const EXPECTED: &str = "expected types and paths of functions, `generate(Type = path)`, where the \
                        function is `fn(&mut braft::Rng) -> Type`";

/// What makes values of a type.
pub(crate) struct OfType {
    pub(crate) ty: Type,
    pub(crate) path: Path,
}

impl Parse for OfType {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ty = input.parse()?;
        input.parse::<Token![=]>()?;
        let path = input.parse()?;
        Ok(OfType { ty, path })
    }
}

/// Reads the option.
pub(crate) fn read(meta: &Meta, known: &mut Vec<OfType>, problems: &mut Problems) {
    let Meta::List(list) = meta else {
        problems.on(meta, EXPECTED);
        return;
    };
    let read = list.parse_args_with(Punctuated::<OfType, Token![,]>::parse_terminated);
    let Ok(read) = read else {
        problems.on(&list.tokens, EXPECTED);
        return;
    };
    if read.is_empty() {
        problems.on(meta, EXPECTED);
    }
    for of_type in read {
        let text = |ty: &Type| ty.to_token_stream().to_string();
        if matches!(types::peel(&of_type.ty), Type::Reference(_)) {
            problems.on(
                &of_type.ty,
                "what is borrowed travels owned: write the owned type, such as `String` for `&str`",
            );
        } else if known
            .iter()
            .any(|other| text(&other.ty) == text(&of_type.ty))
        {
            problems.on(&of_type.ty, "this type has a function already");
        } else {
            known.push(of_type);
        }
    }
}
