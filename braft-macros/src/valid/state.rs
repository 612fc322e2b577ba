//! What a state may look like.

use syn::punctuated::Punctuated;
use syn::{Attribute, Field, ItemStruct, Meta, Token};

use crate::problems::Problems;
use crate::types;

/// Reports every mistake that the struct's tokens show.
pub(crate) fn check(item: &ItemStruct, problems: &mut Problems) {
    if !item.generics.params.is_empty() {
        problems.on(
            &item.generics,
            "a service cannot be generic: snapshots and the log hold one concrete type; \
             write one service per type",
        );
    }
    for field in &item.fields {
        check_field(field, problems);
    }
}

fn check_field(field: &Field, problems: &mut Problems) {
    for lossy in types::lossy_options(&field.ty) {
        problems.on(
            lossy,
            "`Some(None)` and `Some(())` read back as `None` from a snapshot, and replicas would \
             diverge; use an enum of your own, or `bool` for `Option<()>`",
        );
    }
    for attribute in &field.attrs {
        if attribute.path().is_ident("cfg") {
            problems.on(
                attribute,
                "a field of the state cannot depend on `#[cfg]`: nodes built differently could not \
                 read each other's snapshots; use an `Option`",
            );
        }
        for option in serde_options(attribute) {
            if is_skip(&option) {
                problems.on(
                    option,
                    "a field that serde skips is missing in snapshots, so a replica restored from \
                     one would diverge; remove the field, or keep it in the snapshot",
                );
            }
        }
    }
}

/// The options of a `#[serde(…)]` attribute. One that serde cannot read is serde's to report.
fn serde_options(attribute: &Attribute) -> Punctuated<Meta, Token![,]> {
    if !attribute.path().is_ident("serde") {
        return Punctuated::new();
    }
    let options = attribute.parse_args_with(Punctuated::parse_terminated);
    options.unwrap_or_default()
}

fn is_skip(option: &Meta) -> bool {
    let names = [
        "skip",
        "skip_serializing",
        "skip_deserializing",
        "skip_serializing_if",
    ];
    names.iter().any(|name| option.path().is_ident(name))
}
