//! What the attributes write, as committed files. `BLESS=1 cargo test -p braft-macros` rewrites
//! them.
//!
//! `snapshots/NAME.rs` is what a user writes, `snapshots/NAME.expanded.rs` what comes out.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Item, Meta};

#[test]
fn the_expansion_is_the_one_committed() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut outdated = Vec::new();
    for input in inputs() {
        let expanded = expand(&fs::read_to_string(&input).expect("a readable input"));
        let output = input.with_extension("expanded.rs");
        if fs::read_to_string(&output).ok().as_ref() == Some(&expanded) {
            continue;
        }
        if bless {
            fs::write(&output, expanded).expect("a writable output");
        } else {
            outdated.push(format!("{}, which would be:\n{expanded}", output.display()));
        }
    }
    assert!(
        outdated.is_empty(),
        "the expansion has changed; look at it, then run with BLESS=1: {}",
        outdated.join("\n")
    );
}

fn inputs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots");
    let entries = fs::read_dir(folder).expect("the folder of snapshots");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut inputs: Vec<_> = paths.filter(|path| !is_output(path)).collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    inputs
}

fn is_output(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".expanded.rs")
}

/// Carries out the attributes of a file as the compiler would.
fn expand(source: &str) -> String {
    let file = syn::parse_file(source).expect("an input in Rust");
    let expanded: TokenStream = file.items.into_iter().map(expand_item).collect();
    let text = expanded.to_string();
    let expanded = syn::parse2(expanded).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    prettyplease::unparse(&expanded)
}

fn expand_item(mut item: Item) -> TokenStream {
    let attributes = match &mut item {
        Item::Struct(item) => &mut item.attrs,
        Item::Enum(item) => &mut item.attrs,
        Item::Impl(item) => &mut item.attrs,
        Item::Fn(item) => &mut item.attrs,
        _ => return item.into_token_stream(),
    };
    let is_ours = |attribute: &Attribute| path(attribute).is_some();
    let Some(position) = attributes.iter().position(is_ours) else {
        return item.into_token_stream();
    };
    let attribute = attributes.remove(position);
    let options = match &attribute.meta {
        Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    match path(&attribute) {
        Some("raft_service") => crate::expand::raft_service(options, item.into_token_stream()),
        _ => crate::test::expand(options, item.into_token_stream()),
    }
}

fn path(attribute: &Attribute) -> Option<&'static str> {
    let text = crate::types::path_text(attribute.path());
    ["raft_service", "braft::test"]
        .into_iter()
        .find(|path| *path == text)
}
