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

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(body: &str) -> Vec<String> {
        let mut problems = Problems::default();
        let body = syn::parse_str(&format!("{{ {body} }}")).expect("a block");
        check(&body, "command", &mut problems);
        let errors = problems.into_error().into_iter().flatten();
        errors.map(|error| error.to_string()).collect()
    }

    #[test]
    fn finds_each_path_and_names_it() {
        let paths = [
            ("SystemTime::now()", "SystemTime::now"),
            ("std::time::Instant::now()", "Instant::now"),
            ("chrono::Utc::now()", "Utc::now"),
            ("Local::now()", "Local::now"),
            (
                "::time::OffsetDateTime::now_utc()",
                "OffsetDateTime::now_utc",
            ),
            ("Uuid::new_v4()", "Uuid::new_v4"),
            ("uuid::Uuid::now_v7()", "Uuid::now_v7"),
            ("rand::random::<u8>()", "rand::random"),
            ("rand::rng()", "rand::rng"),
            ("thread_rng()", "thread_rng"),
            ("std::env::var(\"A\")", "std::env"),
            ("use std::fs;", "std::fs"),
            ("::std::net::TcpStream::connect(a)", "std::net::TcpStream"),
            ("std::net::TcpListener::bind(a)", "std::net::TcpListener"),
            ("std::net::UdpSocket::bind(a)", "std::net::UdpSocket"),
            ("std::thread::sleep(a)", "std::thread"),
            ("tokio::spawn(a)", "tokio::spawn"),
            ("tokio::fs::read(a)", "tokio::fs"),
            ("tokio::net::lookup_host(a)", "tokio::net"),
            ("tokio::time::sleep(a)", "tokio::time::sleep"),
            ("tokio::time::Instant::now()", "tokio::time::Instant"),
            ("async { a.await }", ".await"),
            ("println!(\"{:?}\", [SystemTime::now()])", "SystemTime::now"),
        ];
        for (body, path) in paths {
            let reports = reports(body);
            assert_eq!(reports.len(), 1, "{body}: {reports:?}");
            let start = format!("`{path}` ");
            assert!(reports[0].starts_with(&start), "{body}: {reports:?}");
        }
    }

    #[test]
    fn leaves_alone_what_only_looks_like_one() {
        let bodies = [
            "context.now()",
            "self.env.now()",
            "std::env!(\"A\")",
            "std::net::IpAddr::from(a)",
            "tokio::time::Duration::from_secs(1)",
            "SystemTime::UNIX_EPOCH",
            "Uuid::from_u128(1)",
            "\"SystemTime::now()\"",
            "rand::seq::index(a)",
        ];
        for body in bodies {
            assert_eq!(reports(body), [""; 0], "{body}");
        }
    }

    #[test]
    fn reports_every_occurrence() {
        assert_eq!(reports("SystemTime::now(); { rand::rng() }").len(), 2);
    }
}
