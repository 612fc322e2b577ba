use super::*;

const OLD: &str = "service S\nversion 1\nstate: struct S\n  a: u64\ncommand add\n  by: u64\n  \
                   -> enum Result\n    Ok: u64\n    Err: struct Full\n      max: u64\n\
                   command drop (since 1)\n  -> unit\nquery get\n  -> u64\nretired ghost\n";

/// The changes from [`OLD`] with one text put for another.
fn changed(version: u32, edits: &[(&str, &str)]) -> (usize, Vec<String>) {
    let mut text = OLD.replace("version 1", &format!("version {version}"));
    text = text.replace("retired ghost\n", "");
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let old = Schema::parse(OLD).expect("a schema");
    let new = Schema::parse(&text).expect("a schema");
    let changes = changes(&old, &new);
    let bad = changes.iter().filter(|change| !change.compatible);
    let bad: Vec<_> = bad.map(|change| change.text.clone()).collect();
    (changes.len() - bad.len(), bad)
}

#[track_caller]
fn refused(version: u32, edits: &[(&str, &str)], why: &str) {
    let (_, bad) = changed(version, edits);
    assert!(bad.iter().any(|text| text.contains(why)), "{bad:?}");
}

#[track_caller]
fn accepted(version: u32, edits: &[(&str, &str)]) {
    let (good, bad) = changed(version, edits);
    assert_eq!(bad, [""; 0]);
    assert!(good > 0);
}

#[test]
fn nothing_changed_is_no_change_and_names_of_types_do_not_count() {
    assert_eq!(changed(1, &[]), (0, vec![]));
    assert_eq!(changed(1, &[("struct Full", "struct Limit")]), (0, vec![]));
}

#[test]
fn types_stay_to_the_last_field() {
    let nested = &[("      max: u64", "      max: u32")];
    refused(
        2,
        nested,
        "the answer of command add / Err / max was u64 and is now u32",
    );
    refused(
        2,
        &[("  by: u64", "  by: i64")],
        "argument by of command add was u64",
    );
    let field = &[("      max: u64\n", "      max: u64\n      min: u64\n")];
    refused(2, field, "/ Err / min is new");
    refused(2, &[("  by: u64\n", "")], "#[arg(name = \"by\")]");
}

#[test]
fn an_operation_stays_what_it_is_and_comes_and_goes_with_versions() {
    refused(
        2,
        &[("query get", "command get")],
        "query get has become a command",
    );
    let drop = "command drop\n  -> unit\n";
    refused(
        2,
        &[("command drop (since 1)\n  -> unit\n", "")],
        "removed = 2",
    );
    let removed = drop.replace("drop", "drop (removed 2)");
    accepted(2, &[("command drop (since 1)\n  -> unit\n", &removed)]);
    refused(
        1,
        &[("command drop (since 1)\n  -> unit\n", &removed)],
        "no later one",
    );
    let new = "query get\n  -> u64\ncommand more (since 2)\n  -> unit\n";
    accepted(2, &[("query get\n  -> u64\n", new)]);
    refused(
        1,
        &[("query get\n  -> u64\n", new)],
        "would stop at a call of it",
    );
    let ghost = new.replace("more", "ghost");
    refused(2, &[("query get\n  -> u64\n", &ghost)], "ghost was retired");
}

#[test]
fn arguments_and_fields_are_added_with_a_version() {
    let by = "  by: u64\n";
    accepted(
        2,
        &[(
            by,
            "  by: u64\n  note: option (since 2)\n    some: string\n",
        )],
    );
    refused(
        2,
        &[(by, "  by: u64\n  note: string (since 2)\n")],
        "Option<_>",
    );
    refused(
        2,
        &[(by, "  by: u64\n  note: option\n    some: string\n")],
        "Option<_>",
    );
    accepted(2, &[("  a: u64\n", "  a: u64\n  b: u8 (since 2)\n")]);
    refused(
        2,
        &[("  a: u64\n", "  a: u64\n  b: u8\n")],
        "#[field(since = 2)]",
    );
    refused(2, &[("  a: u64\n", "  a: u32\n")], "migrate = path");
    accepted(
        2,
        &[("  a: u64\n", "  a: u32\n"), ("state", "migrates 1\nstate")],
    );
}

#[test]
fn a_removed_operation_may_go_later_and_its_name_stays_taken() {
    let old = OLD.replace("drop (since 1)", "drop (removed 1)");
    let old = Schema::parse(&old).expect("a schema");
    let new = OLD.replace("version 1", "version 2");
    let new = new.replace("command drop (since 1)\n  -> unit\n", "");
    let mut new = Schema::parse(&new.replace("retired ghost\n", "")).expect("a schema");
    assert!(changes(&old, &new).iter().all(|change| change.compatible));
    keep_retired(&old, &mut new);
    let text = new.to_string();
    assert!(text.contains("retired drop\nretired ghost\n"), "{text}");
    assert_eq!(Schema::parse(&text).expect("a schema"), new);
}
