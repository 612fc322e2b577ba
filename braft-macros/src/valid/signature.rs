//! Which signatures an operation may have.

use quote::format_ident;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    FnArg, Ident, ImplItemFn, Lifetime, Pat, PatType, Receiver, ReceiverKind, ReturnType, Safety,
    Signature, Type, TypeFnPtr, TypeImplTrait, TypeInfer, TypePtr, TypeReference, TypeTraitObject,
};

use super::Kind;
use crate::problems::Problems;
use crate::types;

const OR_LOCAL: &str = "or keep the method out with `#[local]`";

/// What the receiver makes of a method; `None` for receivers no operation has.
pub(super) fn kind(signature: &Signature) -> Option<Kind> {
    match &signature.receiver()?.kind {
        ReceiverKind::Reference(_, _, Some(_)) => Some(Kind::Command),
        ReceiverKind::Reference(_, _, None) => Some(Kind::Query),
        _ => None,
    }
}

/// Checks the method's signature; its context's type if it takes one.
pub(super) fn check(kind: Kind, method: &ImplItemFn, problems: &mut Problems) -> Option<Type> {
    let signature = &method.sig;
    check_qualifiers(signature, problems);
    check_cfg(kind, method, problems);
    if let Some(receiver) = signature.receiver() {
        check_receiver(receiver, problems);
    }
    let context = context(kind, signature, problems);
    for argument in typed(signature).skip(usize::from(context.is_some())) {
        check_argument(argument, problems);
    }
    if let ReturnType::Type(_, answer) = &signature.output {
        check_data(answer, Place::Answer, problems);
    }
    context
}

/// The names and types of the arguments, without `self` and context. An argument without a name
/// of its own, which is refused, gets one.
pub(super) fn arguments(
    signature: &Signature,
    takes_context: bool,
) -> impl Iterator<Item = (Ident, &Type)> {
    let arguments = typed(signature)
        .skip(usize::from(takes_context))
        .enumerate();
    arguments.map(|(position, argument)| {
        let ident = match &*argument.pat {
            Pat::Ident(pattern) => pattern.ident.clone(),
            other => format_ident!("argument_{position}", span = other.span()),
        };
        (ident, &*argument.ty)
    })
}

fn typed(signature: &Signature) -> impl Iterator<Item = &PatType> {
    signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    })
}

fn check_qualifiers(signature: &Signature, problems: &mut Problems) {
    if let Some(asyncness) = &signature.asyncness {
        problems.on(
            asyncness,
            format!(
                "an operation cannot be `async`: every replica carries it out in one step, in log \
                 order; wait before the call and pass the result as an argument, {OR_LOCAL}"
            ),
        );
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        problems.on(
            unsafety,
            format!(
                "an operation cannot be `unsafe`: its caller is on another machine and can uphold \
                 nothing; make it safe, {OR_LOCAL}"
            ),
        );
    }
    if let Some(abi) = &signature.abi {
        problems.on(
            abi,
            format!("an operation cannot be `extern`: it is called by name; remove it, {OR_LOCAL}"),
        );
    }
    if !signature.generics.params.is_empty() {
        problems.on(
            &signature.generics,
            format!(
                "an operation cannot be generic: the log holds its arguments as concrete types; \
                 write the types (and elide lifetimes), {OR_LOCAL}"
            ),
        );
    }
    if let Some(variadic) = &signature.variadic {
        problems.on(variadic, "an operation cannot be variadic");
    }
}

fn check_cfg(kind: Kind, method: &ImplItemFn, problems: &mut Problems) {
    let cfg = method
        .attrs
        .iter()
        .find(|attribute| attribute.path().is_ident("cfg"));
    if let (Kind::Command, Some(cfg)) = (kind, cfg) {
        problems.on(
            cfg,
            "a command cannot depend on `#[cfg]`: a replica built without it could not apply what \
             the log holds; put the `#[cfg]` inside the method, or on a query",
        );
    }
    for argument in typed(&method.sig) {
        for cfg in argument
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("cfg"))
        {
            problems.on(
                cfg,
                "an argument cannot depend on `#[cfg]`: nodes and clients built differently would \
                 not understand each other; use an `Option`",
            );
        }
    }
}

fn check_receiver(receiver: &Receiver, problems: &mut Problems) {
    match &receiver.kind {
        ReceiverKind::Reference(_, Some(lifetime), _) => problems.on(
            lifetime,
            "an operation's `self` has no lifetime of its own: the state belongs to the replica; \
             write `&self` or `&mut self`",
        ),
        ReceiverKind::Reference(_, None, _) => {}
        _ => problems.on(
            receiver,
            format!(
                "an operation borrows the state, which stays with the replica: write `&mut self` \
                 for a command, `&self` for a query, {OR_LOCAL}"
            ),
        ),
    }
}

/// The context's type, if the first argument is one.
fn context(kind: Kind, signature: &Signature, problems: &mut Problems) -> Option<Type> {
    let first = typed(signature).next()?;
    let Type::Reference(reference) = types::peel(&first.ty) else {
        return None;
    };
    if !is_context(&reference.elem) {
        return None;
    }
    if kind == Kind::Query
        && let Some(mutability) = &reference.mutability
    {
        problems.on(
            mutability,
            "a query changes nothing and cannot draw from the log's randomness: write `&Context`",
        );
    }
    if let Some(lifetime) = &reference.lifetime {
        problems.on(
            lifetime,
            "the context lives as long as the call: leave the lifetime out",
        );
    }
    Some((*reference.elem).clone())
}

fn is_context(ty: &Type) -> bool {
    types::last_segment(ty).is_some_and(|segment| segment.ident == "Context")
}

fn check_argument(argument: &PatType, problems: &mut Problems) {
    match &*argument.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {}
        pattern => problems.on(
            pattern,
            "an argument needs a name, which is part of the log's format: write `name: Type` and \
             take it apart inside the method",
        ),
    }
    let Type::Reference(reference) = types::peel(&argument.ty) else {
        return check_data(&argument.ty, Place::Argument, problems);
    };
    if is_context(&reference.elem) {
        return problems.on(
            &argument.ty,
            "a context is the first argument after `self`, and there is one only: move it there; \
             take a type of your own that is called `Context` by value",
        );
    }
    if let Some(mutability) = &reference.mutability {
        problems.on(
            mutability,
            "an argument travels to the replicas, so a change made to it would not come back: take \
             it by value or by `&`, and return what changed",
        );
    }
    if let Some(lifetime) = &reference.lifetime {
        problems.on(
            lifetime,
            "an argument travels owned and is lent to the method for the call only: leave the \
             lifetime out",
        );
    }
    check_data(&reference.elem, Place::Argument, problems);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Argument,
    Answer,
}

/// Checks that a type can be data that travels.
fn check_data(ty: &Type, place: Place, problems: &mut Problems) {
    for lossy in types::lossy_options(ty) {
        problems.on(
            lossy,
            "`Some(None)` and `Some(())` read back as `None` from MessagePack; use an enum of your \
             own, or `bool` for `Option<()>`",
        );
    }
    DataCheck { place, problems }.visit_type(ty);
}

struct DataCheck<'a> {
    place: Place,
    problems: &'a mut Problems,
}

impl DataCheck<'_> {
    fn not_data(&mut self, ty: impl quote::ToTokens, what: &str) {
        self.problems.on(
            ty,
            format!("{what} cannot travel between nodes: write a concrete type that owns its data"),
        );
    }
}

impl<'ast> Visit<'ast> for DataCheck<'_> {
    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        self.problems.on(
            ty,
            "the log and the client need a concrete type in place of `impl Trait`: write the type, \
             such as `Vec<_>` for an iterator",
        );
    }

    fn visit_type_trait_object(&mut self, ty: &'ast TypeTraitObject) {
        self.not_data(ty, "a trait object");
    }

    fn visit_type_fn_ptr(&mut self, ty: &'ast TypeFnPtr) {
        self.not_data(ty, "a function pointer");
    }

    fn visit_type_ptr(&mut self, ty: &'ast TypePtr) {
        self.not_data(ty, "a pointer");
    }

    fn visit_type_infer(&mut self, ty: &'ast TypeInfer) {
        self.problems
            .on(ty, "a signature names its types: write the type");
    }

    fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
        if self.place == Place::Argument {
            self.problems.on(
                ty,
                "only an argument as a whole can be borrowed (`&str`, `&[T]`, `&T`), since it \
                 travels owned: write the owned type here, such as `String`",
            );
        } else {
            visit::visit_type(self, &ty.elem);
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if self.place == Place::Argument && lifetime.ident != "static" {
            self.problems.on(
                lifetime,
                "an argument travels owned: write a type that borrows nothing",
            );
        }
    }
}
