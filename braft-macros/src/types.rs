//! Questions about types as they are written, and the owned form in which they travel.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    GenericArgument, Lifetime, Path, PathArguments, PathSegment, Type, TypePath, TypeReference,
    parse_quote,
};

/// Looks through parentheses and the invisible groups of macro expansions.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => peel(&inner.elem),
        Type::Group(inner) => peel(&inner.elem),
        other => other,
    }
}

/// The last segment of a path type.
pub(crate) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match peel(ty) {
        Type::Path(TypePath { path, .. }) => path.segments.last(),
        _ => None,
    }
}

/// The type arguments of a path segment.
pub(crate) fn type_arguments(segment: &PathSegment) -> impl Iterator<Item = &Type> {
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(list) => Some(&list.args),
        _ => None,
    };
    let arguments = arguments.into_iter().flatten();
    arguments.filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// A path as one writes it, without spaces.
pub(crate) fn path_text(path: &Path) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}

/// The owned form of a type: `Option<&str>` becomes `Option<Owned<str>>`.
pub(crate) fn owned(ty: &Type, braft: &Path) -> Type {
    let mut ty = ty.clone();
    Own { braft }.visit_type_mut(&mut ty);
    ty
}

struct Own<'a> {
    braft: &'a Path,
}

impl VisitMut for Own<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        visit_mut::visit_type_mut(self, ty);
        let braft = self.braft;
        match ty {
            Type::Reference(TypeReference { elem, .. }) => {
                *ty = parse_quote!(#braft::__private::Owned<#elem>);
            }
            // Refused; the stub of the client's method needs some type.
            Type::ImplTrait(_) => *ty = parse_quote!(#braft::__private::Refused),
            _ => {}
        }
    }

    // `Cow<'_, str>` is owned as `Cow<'static, str>`.
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        *lifetime = Lifetime::new("'static", lifetime.span());
    }
}

/// Writes the type's own name for `Self`, which means something else in generated items.
pub(crate) fn name_self(ty: &mut Type, self_path: &Path) {
    NameSelf { self_path }.visit_type_mut(ty);
}

struct NameSelf<'a> {
    self_path: &'a Path,
}

impl VisitMut for NameSelf<'_> {
    fn visit_path_mut(&mut self, path: &mut Path) {
        visit_mut::visit_path_mut(self, path);
        if path.leading_colon.is_none() && path.segments[0].ident == "Self" {
            let rest = std::mem::take(&mut path.segments).into_iter().skip(1);
            *path = self.self_path.clone();
            path.segments.extend(rest);
        }
    }
}

/// The types that are worth a check at compile time: a type and, deep down, its arguments, except
/// those whose name says that nothing can be wrong with them.
pub(crate) fn checked_nodes(ty: &Type) -> Vec<&Type> {
    let mut nodes = Nodes(Vec::new());
    nodes.visit_type(ty);
    nodes.0
}

struct Nodes<'ast>(Vec<&'ast Type>);

impl<'ast> Visit<'ast> for Nodes<'ast> {
    fn visit_type(&mut self, ty: &'ast Type) {
        match ty {
            Type::Path(path) if !is_plain(&path.path) && !is_owned(&path.path) => self.0.push(ty),
            Type::Macro(_) => self.0.push(ty),
            _ => {}
        }
        visit::visit_type(self, ty);
    }
}

/// Whether a path is one that [`owned`] wrote: what counts is inside.
fn is_owned(path: &Path) -> bool {
    let mut segments = path.segments.iter().rev();
    let is = |segment: Option<&PathSegment>, name| segment.is_some_and(|s| s.ident == name);
    is(segments.next(), "Owned") && is(segments.next(), "__private")
}

fn is_plain(path: &Path) -> bool {
    const PLAIN: &[&str] = &[
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "String",
        "u8", "u16", "u32", "u64", "u128", "usize",
    ];
    PLAIN.iter().any(|name| path.is_ident(name))
}

/// Every place where `Option<Option<_>>` or `Option<()>` is written.
pub(crate) fn lossy_options(ty: &Type) -> Vec<&Type> {
    let mut lossy = LossyOptions(Vec::new());
    lossy.visit_type(ty);
    lossy.0
}

struct LossyOptions<'ast>(Vec<&'ast Type>);

impl<'ast> Visit<'ast> for LossyOptions<'ast> {
    fn visit_type(&mut self, ty: &'ast Type) {
        if let Some(segment) = last_segment(ty)
            && segment.ident == "Option"
            && type_arguments(segment).any(is_option_or_unit)
        {
            self.0.push(ty);
        }
        visit::visit_type(self, ty);
    }
}

fn is_option_or_unit(ty: &Type) -> bool {
    match peel(ty) {
        Type::Tuple(tuple) => tuple.elems.is_empty(),
        other => last_segment(other).is_some_and(|segment| segment.ident == "Option"),
    }
}
