//! The options of `#[raft_service]`, `#[command]`, `#[query]`, `#[timer]` and `#[local]`.

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitInt, LitStr, Meta, Path, Token, parse_quote};

use crate::generate::{self, OfType};
use crate::problems::Problems;
use crate::versions::{self, Life};

/// `#[raft_service(…)]`.
pub(crate) struct Options {
    /// Routes calls; by default the struct's name.
    pub(crate) name: Option<LitStr>,
    /// The version of the service; 1 unless said otherwise.
    pub(crate) version: Option<LitInt>,
    /// What makes this state out of that of the version before.
    pub(crate) migrate: Option<Path>,
    /// What makes values of types for checks.
    pub(crate) generate: Vec<OfType>,
    /// Where braft is.
    pub(crate) braft: Path,
}

impl Options {
    /// Options of the attribute on a struct.
    pub(crate) fn of_state(tokens: TokenStream, problems: &mut Problems) -> Options {
        let mut options = Options::default();
        for meta in metas(tokens, problems) {
            if meta.path().is_ident("name") {
                options.name = problems.take(string(&meta)).filter(|name| {
                    let usable = is_name(&name.value());
                    if !usable {
                        problems.on(name, NOT_A_NAME);
                    }
                    usable
                });
            } else if meta.path().is_ident("version") {
                options.version = versions::version(&meta, problems);
            } else if meta.path().is_ident("migrate") {
                options.migrate = path(&meta, "expected the path of a function", problems);
            } else if meta.path().is_ident("generate") {
                problems.on(
                    &meta,
                    "what makes arguments belongs to the operations: write \
                     `#[raft_service(generate(Type = path))]` on the `impl` block",
                );
            } else {
                let valid = "`name = \"…\"`, `version = number`, `migrate = path`, `crate = path`";
                options.shared(&meta, valid, problems);
            }
        }
        if let (Some(migrate), None) = (&options.migrate, &options.version) {
            problems.on(
                migrate,
                "a migration leads to a later version: write `version = …` as well",
            );
        }
        options
    }

    /// Options of the attribute on an `impl` block.
    pub(crate) fn of_service(tokens: TokenStream, problems: &mut Problems) -> Options {
        let mut options = Options::default();
        for meta in metas(tokens, problems) {
            const OF_THE_STATE: [(&str, &str); 3] = [
                ("name", "\"…\""),
                ("version", "number"),
                ("migrate", "path"),
            ];
            let of_the_state = OF_THE_STATE.iter();
            let mut of_the_state = of_the_state.filter(|(option, _)| meta.path().is_ident(option));
            if let Some((option, value)) = of_the_state.next() {
                problems.on(
                    &meta,
                    format!(
                        "the {option} belongs to the state: \
                         write `#[raft_service({option} = {value})]` on the struct"
                    ),
                );
            } else if meta.path().is_ident("generate") {
                generate::read(&meta, &mut options.generate, problems);
            } else {
                let valid = "`generate(Type = path)`, `crate = path`";
                options.shared(&meta, valid, problems);
            }
        }
        options
    }

    fn shared(&mut self, meta: &Meta, valid: &str, problems: &mut Problems) {
        if !meta.path().is_ident("crate") {
            problems.on(meta, unknown(meta, valid));
            return;
        }
        if let Some(braft) = path(meta, "expected the path of the braft crate", problems) {
            self.braft = braft;
        }
    }
}

/// The path that is given to an option.
pub(crate) fn path(meta: &Meta, expected: &str, problems: &mut Problems) -> Option<Path> {
    match meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Path(path) if path.qself.is_none() => return Some(path.path.clone()),
            value => problems.on(value, expected),
        },
        _ => problems.on(
            meta,
            format!("expected `{} = path`", crate::types::path_text(meta.path())),
        ),
    }
    None
}

impl Default for Options {
    fn default() -> Self {
        Options {
            name: None,
            version: None,
            migrate: None,
            generate: Vec::new(),
            braft: parse_quote!(::braft),
        }
    }
}

/// What the attributes on a method say.
#[derive(Default)]
pub(crate) struct MethodOptions {
    pub(crate) local: Option<Attribute>,
    pub(crate) command: Option<Attribute>,
    pub(crate) query: Option<Attribute>,
    pub(crate) timer: Option<Attribute>,
    /// The name on the wire, if it differs from the method's.
    pub(crate) name: Option<LitStr>,
    /// In which versions it is there.
    pub(crate) life: Life,
    /// Whether a reason stands for what the determinism lint would report.
    pub(crate) may_be_nondeterministic: bool,
}

/// Whether an attribute is ours to read and remove.
fn is_ours(attribute: &Attribute) -> bool {
    ["local", "command", "query", "timer"]
        .iter()
        .any(|name| attribute.path().is_ident(name))
}

impl MethodOptions {
    /// Reads a method's attributes and removes those that are ours.
    pub(crate) fn extract(attributes: &mut Vec<Attribute>, problems: &mut Problems) -> Self {
        let mut options = MethodOptions::default();
        for attribute in attributes.extract_if(.., |attribute| is_ours(attribute)) {
            options.read(attribute, problems);
        }
        options
    }

    fn read(&mut self, attribute: Attribute, problems: &mut Problems) {
        const REASON: &str = "`nondeterministic = \"reason\"`";
        let (slot, valid) = if attribute.path().is_ident("local") {
            (&mut self.local, REASON)
        } else if attribute.path().is_ident("timer") {
            (&mut self.timer, REASON)
        } else if attribute.path().is_ident("query") {
            (
                &mut self.query,
                "`name = \"…\"`, `since = version`, `removed = version`",
            )
        } else {
            (
                &mut self.command,
                "`name = \"…\"`, `since = version`, `removed = version`, \
                 `nondeterministic = \"reason\"`",
            )
        };
        let list = match &attribute.meta {
            Meta::Path(_) => TokenStream::new(),
            Meta::List(list) => list.tokens.clone(),
            Meta::NameValue(_) => {
                problems.on(
                    &attribute,
                    format!("expected options in parentheses: {valid}"),
                );
                TokenStream::new()
            }
        };
        *slot = Some(attribute);
        for meta in metas(list, problems) {
            let option = meta.path().get_ident().map(ToString::to_string);
            match option.as_deref() {
                Some("name") if valid.contains("`name") => self.read_name(&meta, problems),
                Some("since") if valid.contains("`since") => {
                    self.life.since = versions::version(&meta, problems);
                }
                Some("removed") if valid.contains("`removed") => {
                    self.life.removed = versions::version(&meta, problems);
                }
                Some("nondeterministic") if valid.contains("`nondeterministic") => {
                    self.read_reason(&meta, problems);
                }
                _ => problems.on(&meta, unknown(&meta, valid)),
            }
        }
    }

    fn read_name(&mut self, meta: &Meta, problems: &mut Problems) {
        self.name = problems.take(string(meta));
        if let Some(name) = self.name.take_if(|name| !is_name(&name.value())) {
            problems.on(name, NOT_A_NAME);
        }
    }

    fn read_reason(&mut self, meta: &Meta, problems: &mut Problems) {
        self.may_be_nondeterministic = true;
        if let Some(reason) = problems.take(string(meta))
            && reason.value().trim().is_empty()
        {
            problems.on(reason, "say why it does no harm here");
        }
    }
}

pub(crate) const NOT_A_NAME: &str = "a name is one or more letters, digits, `_`, `-` or `.`";

pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    !name.is_empty() && name.chars().all(allowed)
}

fn metas(tokens: TokenStream, problems: &mut Problems) -> Punctuated<Meta, Token![,]> {
    let parsed = Punctuated::parse_terminated.parse2(tokens);
    problems.take(parsed).unwrap_or_default()
}

pub(crate) fn string(meta: &Meta) -> syn::Result<LitStr> {
    let pair = meta.require_name_value()?;
    match &pair.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Ok(text.clone()),
        value => Err(syn::Error::new_spanned(value, "expected a string")),
    }
}

pub(crate) fn unknown(meta: &Meta, valid: &str) -> String {
    let name = crate::types::path_text(meta.path());
    format!("unknown option `{name}`; valid here: {valid}")
}
