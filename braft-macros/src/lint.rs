//! The determinism lint: finds paths in the tokens of a method that make replicas differ.
//!
//! It works on raw tokens, so that it sees into macro calls too.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::Block;

use crate::problems::Problems;

/// What a path brings in from outside the log.
#[derive(Clone, Copy)]
enum Source {
    Clock,
    Chance,
    World,
    Waiting,
}

impl Source {
    fn explain(self, path: &str, way_out: &str) -> String {
        let (why, instead) = match self {
            Source::Clock => (
                "reads a different time on every replica",
                "take `context: &mut braft::Context` as the first argument and use `context.now()`",
            ),
            Source::Chance => (
                "gives a different value on every replica",
                "take `context: &mut braft::Context` as the first argument and use `context.rng()`",
            ),
            Source::World => (
                "acts on something outside the replicated state, again on every replica and on \
                 every replay",
                "do it before the call and pass the result as an argument",
            ),
            Source::Waiting => (
                "makes the order of effects depend on timing, which differs on every replica",
                "wait before the call and pass the result as an argument",
            ),
        };
        format!(
            "`{path}` {why}, so replicas would diverge; {instead}. Where it does no harm, say why: \
             `#[{way_out}(nondeterministic = \"reason\")]`"
        )
    }
}

/// Paths to find: the whole of it, wherever it begins.
const PATHS: &[(&[&str], Source)] = &[
    (&["SystemTime", "now"], Source::Clock),
    (&["Instant", "now"], Source::Clock),
    (&["Utc", "now"], Source::Clock),
    (&["Local", "now"], Source::Clock),
    (&["OffsetDateTime", "now_utc"], Source::Clock),
    (&["tokio", "time", "Instant"], Source::Clock),
    (&["Uuid", "new_v4"], Source::Chance),
    (&["Uuid", "now_v7"], Source::Chance),
    (&["rand", "random"], Source::Chance),
    (&["rand", "rng"], Source::Chance),
    (&["thread_rng"], Source::Chance),
    (&["std", "env"], Source::World),
    (&["std", "fs"], Source::World),
    (&["std", "net", "TcpStream"], Source::World),
    (&["std", "net", "TcpListener"], Source::World),
    (&["std", "net", "UdpSocket"], Source::World),
    (&["std", "thread"], Source::World),
    (&["tokio", "spawn"], Source::World),
    (&["tokio", "fs"], Source::World),
    (&["tokio", "net"], Source::World),
    (&["tokio", "time", "sleep"], Source::Waiting),
];

/// Reports every such path in the body of a method. `way_out` is the attribute that can allow it.
pub(crate) fn check(body: &Block, way_out: &str, problems: &mut Problems) {
    check_tokens(body.to_token_stream(), way_out, problems);
}

fn check_tokens(tokens: TokenStream, way_out: &str, problems: &mut Problems) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if let TokenTree::Group(group) = &tokens[at] {
            check_tokens(group.stream(), way_out, problems);
        }
        if is_punct(tokens.get(at), '.') && is_ident(tokens.get(at + 1), "await") {
            problems.on(&tokens[at + 1], Source::Waiting.explain(".await", way_out));
        }
        at += match path_at(&tokens[at..]) {
            Some((length, path, source)) => {
                let found: TokenStream = tokens[at..at + length].iter().cloned().collect();
                problems.on(found, source.explain(&path.join("::"), way_out));
                length
            }
            None => 1,
        };
    }
}

type Found = (usize, &'static [&'static str], Source);

/// The path to find that begins with these tokens, and how many tokens it has.
fn path_at(tokens: &[TokenTree]) -> Option<Found> {
    PATHS.iter().find_map(|(path, source)| {
        let length = path.len() * 3 - 2;
        let matches = path.iter().enumerate().all(|(segment, name)| {
            let at = segment * 3;
            is_ident(tokens.get(at), name)
                && (segment == 0
                    || is_punct(tokens.get(at - 2), ':') && is_punct(tokens.get(at - 1), ':'))
        });
        // `std::env!` is the compiler's, and the same in every replica of a build.
        let is_macro = is_punct(tokens.get(length), '!');
        (matches && !is_macro).then_some((length, *path, *source))
    })
}

fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == name)
}

fn is_punct(token: Option<&TokenTree>, punct: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == punct)
}
