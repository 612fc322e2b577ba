//! Turns an `impl` block into operations, and reports every mistake its tokens show.
//!
//! Each report stands on the user's own token and says what is wrong, why, and what to write.

mod signature;
mod state;
mod timer;

use std::collections::BTreeMap;

use proc_macro2::Span;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Expr, Generics, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Meta, Path,
    ReturnType, Type, TypePath, Visibility, parse_quote,
};

pub(crate) use self::state::check as check_state;
pub(crate) use self::timer::Timer;

use crate::attr::{MethodOptions, Options};
use crate::generate::OfType;
use crate::problems::Problems;
use crate::versions::{self, ArgOptions, Life};
use crate::{lint, types};

/// Whether an operation goes through the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `&mut self`.
    Command,
    /// `&self`.
    Query,
}

/// One method that clients can call.
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    pub(crate) visibility: Visibility,
    pub(crate) ident: Ident,
    /// The name on the wire; the method's own unless the user says otherwise.
    pub(crate) wire_name: LitStr,
    /// In which versions it is there.
    pub(crate) life: Life,
    /// What the client's method repeats: doc comments, `#[deprecated]`.
    pub(crate) attributes: Vec<Attribute>,
    /// `#[cfg]` on a query.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) takes_context: bool,
    /// Refused, and kept for the stub.
    pub(crate) generics: Generics,
    pub(crate) arguments: Vec<Argument>,
    /// The answer as the client gets it: owned.
    pub(crate) answer: Type,
    /// Where the method names it.
    pub(crate) answer_span: Span,
}

/// One argument of an operation.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    /// As the method takes it.
    pub(crate) ty: Type,
    /// As it travels.
    pub(crate) owned: Type,
    pub(crate) options: ArgOptions,
}

impl Argument {
    /// The name in the log and on the wire.
    pub(crate) fn wire_name(&self) -> String {
        match &self.options.name {
            Some(name) => name.value(),
            None => self.ident.unraw().to_string(),
        }
    }

    pub(crate) fn is_borrowed(&self) -> bool {
        matches!(types::peel(&self.ty), Type::Reference(_))
    }
}

impl Operation {
    /// The first paragraph of the doc comment, on one line.
    pub(crate) fn summary(&self) -> String {
        let lines: Vec<String> = self.attributes.iter().filter_map(doc_line).collect();
        let text = lines.join("\n");
        let lines = text.lines().map(str::trim);
        let paragraph = lines.skip_while(|line| line.is_empty());
        let paragraph: Vec<&str> = paragraph.take_while(|line| !line.is_empty()).collect();
        paragraph.join(" ")
    }

    /// Whether it, or one of its arguments, is there in some versions only.
    pub(crate) fn has_life(&self) -> bool {
        let mut arguments = self.arguments.iter();
        !self.life.is_always() || arguments.any(|argument| argument.options.since.is_some())
    }

    /// Whether the name on the wire is not the method's.
    pub(crate) fn is_renamed(&self) -> bool {
        self.ident.unraw() != self.wire_name.value()
    }

    pub(crate) fn has_docs(&self) -> bool {
        self.attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("doc"))
    }
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                syn::Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// A service as the expansion needs it.
pub(crate) struct Service {
    pub(crate) braft: Path,
    /// The state.
    pub(crate) state: Path,
    /// Its typed client.
    pub(crate) client: Path,
    /// The type of the first context seen.
    pub(crate) context: Option<Type>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) timer: Option<Timer>,
    /// What makes values of types for checks.
    pub(crate) generate: Vec<OfType>,
}

impl Service {
    pub(crate) fn operations(&self, kind: Kind) -> impl Iterator<Item = &Operation> {
        self.operations
            .iter()
            .filter(move |operation| operation.kind == kind)
    }
}

/// Reads an `impl` block and removes our attributes from it.
///
/// `None` if it is not the `impl` block of a service at all; a problem says why.
pub(crate) fn service(
    options: Options,
    item: &mut ItemImpl,
    problems: &mut Problems,
) -> Option<Service> {
    let state = check_header(item, problems);
    let mut service = state.map(|state| Service {
        braft: options.braft,
        client: client_path(&state),
        state,
        context: None,
        operations: Vec::new(),
        timer: None,
        generate: options.generate,
    });
    let mut event = None;
    let mut wakes = timer::Wakes::default();
    for method in methods(item) {
        let options = MethodOptions::extract(&mut method.attrs, problems);
        wakes.look_at(&method.block);
        let args = versions::extract_args(method, problems);
        if is_mutating(method) && !options.may_be_nondeterministic {
            lint::check(&method.block, way_out(&options), problems);
        }
        if let Some(attribute) = &options.timer {
            wakes.has_timer();
            timer::check_attributes(attribute, &options, problems);
            let (context, timer) = timer::read(method, problems);
            if let Some(context) = &context {
                check_context(context, &mut event, problems);
            }
            if let Some(service) = &mut service {
                service.add_timer(attribute, timer, problems);
                service.context = service.context.take().or(context);
            }
            continue;
        }
        let kind = check_placement(method, &options, problems);
        let (Some(kind), Some(service)) = (kind, &mut service) else {
            continue;
        };
        let context = signature::check(kind, method, problems);
        if let Some(context) = &context {
            check_context(context, &mut event, problems);
        }
        service.operations.push(operation(
            service,
            kind,
            method,
            &options,
            (context.is_some(), args),
        ));
        service.context = service.context.take().or(context);
    }
    if let Some(service) = &service {
        check_wire_names(&service.operations, problems);
    }
    wakes.check(problems);
    service
}

/// The attribute that can say why something nondeterministic does no harm.
fn way_out(options: &MethodOptions) -> &'static str {
    if options.local.is_some() {
        "local"
    } else if options.timer.is_some() {
        "timer"
    } else {
        "command"
    }
}

fn methods(item: &mut ItemImpl) -> impl Iterator<Item = &mut ImplItemFn> {
    item.items.iter_mut().filter_map(|item| match item {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    })
}

/// Checks what stands before the braces; the path of the state if there is one.
fn check_header(item: &ItemImpl, problems: &mut Problems) -> Option<Path> {
    if let Some((trait_, _)) = &item.trait_ {
        problems.on(
            trait_,
            "the methods of a trait are not operations: several types share them, while an \
             operation belongs to one state; put `#[raft_service]` on the type's own `impl` block \
             and call the trait's methods from there",
        );
        return None;
    }
    if !item.generics.params.is_empty() {
        problems.on(
            &item.generics,
            "a service cannot be generic: the log holds its commands as one concrete type; \
             write one service per type",
        );
    }
    match types::peel(&item.self_ty) {
        Type::Path(TypePath {
            qself: None, path, ..
        }) => Some(path.clone()),
        other => {
            problems.on(
                other,
                "a service is a struct: put `#[raft_service]` on the struct and on its `impl` block",
            );
            None
        }
    }
}

/// `CounterClient` for `Counter`, in the same place.
fn client_path(state: &Path) -> Path {
    let mut client = state.clone();
    if let Some(last) = client.segments.last_mut() {
        last.ident = client_ident(&last.ident);
        last.arguments = syn::PathArguments::None;
    }
    client
}

/// The name of the client of a state.
pub(crate) fn client_ident(state: &Ident) -> Ident {
    quote::format_ident!("{}Client", state.unraw(), span = state.span())
}

fn is_mutating(method: &ImplItemFn) -> bool {
    signature::kind(&method.sig) == Some(Kind::Command)
}

/// Says whether a method is an operation, and checks that its attributes fit.
fn check_placement(
    method: &ImplItemFn,
    options: &MethodOptions,
    problems: &mut Problems,
) -> Option<Kind> {
    if let Some(local) = &options.local {
        for attribute in [&options.command, &options.query].into_iter().flatten() {
            problems.on(
                attribute,
                "a `#[local]` method is not an operation: remove one of the two",
            );
        }
        if method.sig.receiver().is_none() {
            problems.on(
                local,
                "a function without `self` is never an operation: remove `#[local]`",
            );
        }
        return None;
    }
    if method.sig.receiver().is_none() {
        for attribute in [&options.command, &options.query].into_iter().flatten() {
            problems.on(
                attribute,
                "a function without `self` is not an operation: a command takes `&mut self`, \
                 a query `&self`",
            );
        }
        return None;
    }
    let kind = signature::kind(&method.sig);
    if let (Some(Kind::Query), Some(command)) = (kind, &options.command) {
        problems.on(
            command,
            "a command takes `&mut self`; with `&self` it is a query",
        );
    }
    if let (Some(Kind::Command), Some(query)) = (kind, &options.query) {
        problems.on(
            query,
            "a query takes `&self`; with `&mut self` it is a command",
        );
    }
    // A receiver that fits neither is reported with the signature.
    Some(kind.unwrap_or(Kind::Command))
}

/// Checks that all contexts of a service speak of the same events. Paths are compared by their
/// last segment; where that is not enough, the compiler finds the difference.
fn check_context(context: &Type, event: &mut Option<String>, problems: &mut Problems) {
    let segment = types::last_segment(context);
    let argument = segment.and_then(|segment| types::type_arguments(segment).next());
    let this = argument.map_or_else(
        || "NoEvents".to_owned(),
        |ty| match types::last_segment(ty) {
            Some(segment) => segment.to_token_stream().to_string(),
            None => ty.to_token_stream().to_string(),
        },
    );
    let first = event.get_or_insert_with(|| this.clone());
    if *first != this {
        problems.on(
            context,
            "another operation of this service has a context with a different event type: a \
             service has one event type; use the same in all of them (an enum can hold several)",
        );
    }
}

fn check_wire_names(operations: &[Operation], problems: &mut Problems) {
    let mut taken: BTreeMap<String, &Operation> = BTreeMap::new();
    for operation in operations {
        let name = operation.wire_name.value();
        let Some(other) = taken.insert(name.clone(), operation) else {
            continue;
        };
        // Two methods of the same name are the compiler's to report.
        let renamed = [operation, other]
            .into_iter()
            .find(|operation| operation.is_renamed());
        if let Some(renamed) = renamed {
            problems.on(
                &renamed.wire_name,
                format!("two operations are called `{name}` on the wire; give one another name"),
            );
        }
    }
}

/// Builds the operation of a method. Where the method is refused, what comes out is only good for
/// a stub.
fn operation(
    service: &Service,
    kind: Kind,
    method: &ImplItemFn,
    options: &MethodOptions,
    (takes_context, args): (bool, Vec<ArgOptions>),
) -> Operation {
    let arguments = signature::arguments(&method.sig, takes_context);
    let args = args.into_iter().skip(usize::from(takes_context));
    let arguments = arguments.zip(args).map(|((ident, ty), options)| {
        let mut ty = ty.clone();
        types::name_self(&mut ty, &service.state);
        let owned = types::owned(&ty, &service.braft);
        Argument {
            ident,
            ty,
            owned,
            options,
        }
    });
    let mut answer: Type = match &method.sig.output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    types::name_self(&mut answer, &service.state);
    let ident = method.sig.ident.clone();
    let wire_name = options.name.clone();
    let carried = |names: &'static [&'static str]| {
        let is_named = |attribute: &&Attribute| names.iter().any(|n| attribute.path().is_ident(n));
        method.attrs.iter().filter(is_named).cloned().collect()
    };
    Operation {
        kind,
        visibility: method.vis.clone(),
        wire_name: wire_name
            .unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span())),
        ident,
        life: options.life.clone(),
        attributes: carried(&["doc", "deprecated"]),
        cfgs: carried(&["cfg"]),
        takes_context,
        generics: method.sig.generics.clone(),
        arguments: arguments.collect(),
        answer_span: match &method.sig.output {
            ReturnType::Default => method.sig.ident.span(),
            ReturnType::Type(_, ty) => ty.span(),
        },
        answer: types::owned(&answer, &service.braft),
    }
}
