//! The schema of a service, compared with a committed file.

use std::path::Path;

use super::{TestError, TestResult};
use crate::schema::{Schema, changes, keep_retired, schema};
use crate::service::Service;

/// Set to update lock files instead of failing.
const BLESS: &str = "BRAFT_BLESS";

const HEAD: &str = "# What clients, logs and snapshots of this service hold. Compared by a test; updated by running it\n\
                    # with BRAFT_BLESS=1, unless a change is one that older nodes or logs do not get along with.\n";

/// Compares the schema of a service with a file that is committed beside it; its path is relative to
/// the package. `BRAFT_BLESS=1 cargo test` writes the file, or updates it.
///
/// A change that running clusters, logs or clients do not get along with is refused, also when the
/// file is to be updated, and the error says what to write instead. While a version is in the making
/// and has met no cluster, take the file of the last release out of the history first.
///
/// ```
/// # use braft::raft_service;
/// # use serde::{Deserialize, Serialize};
/// # #[raft_service]
/// # #[derive(Default, Serialize, Deserialize)]
/// # pub struct Counter { value: u64 }
/// # #[raft_service]
/// # impl Counter {
/// #     pub fn add(&mut self, by: u64) -> u64 { self.value += by; self.value }
/// # }
/// # let file = tempfile::tempdir().unwrap().keep().join("counter.schema");
/// # let counter_schema = file.to_str().unwrap();
/// use braft::testing::{TestResult, schema_lock};
///
/// fn the_schema_is_the_one_committed(file: &str) -> TestResult {
///     schema_lock::<Counter>(file)
/// }
/// # assert!(the_schema_is_the_one_committed(counter_schema).is_err());
/// ```
///
/// # Errors
/// If there is no such file, if it is no schema, or if the schema is another one: each change, and
/// for each that is refused what to do.
#[track_caller]
pub fn schema_lock<S: Service>(file: impl AsRef<Path>) -> TestResult {
    let bless = std::env::var_os(BLESS).is_some_and(|value| value != "0");
    compare(schema::<S>(), file.as_ref(), bless).map_err(TestError::of_text)
}

fn compare(mut schema: Schema, file: &Path, bless: bool) -> Result<(), String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        format!(
            "the schema lock {} cannot be {what}: {error}",
            file.display()
        )
    };
    let write = |schema: &Schema| {
        std::fs::write(file, format!("{HEAD}{schema}")).map_err(|error| failed("written", &error))
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if bless {
                return write(&schema);
            }
            return Err(format!(
                "there is no schema lock {}: run this test with {BLESS}=1 and commit the file",
                file.display()
            ));
        }
        Err(error) => return Err(failed("read", &error)),
    };
    let old = Schema::parse(&text).map_err(|error| failed("read", &error))?;
    let changes = changes(&old, &schema);
    let lines = |compatible: bool| {
        let these = changes
            .iter()
            .filter(|change| change.compatible == compatible);
        these
            .map(|change| format!("\n  {}", change.text))
            .collect::<String>()
    };
    let refused = lines(false);
    if !refused.is_empty() {
        return Err(format!(
            "the schema of service {} has changed in a way that running clusters do not get along \
             with:{refused}",
            old.service
        ));
    }
    if bless {
        keep_retired(&old, &mut schema);
        return write(&schema);
    }
    if changes.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the schema of service {} has changed:{}\nevery node gets along with that: run this test \
         with {BLESS}=1 and commit {}",
        old.service,
        lines(true),
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Schema {
        Schema::parse(text).expect("a schema")
    }

    const FIRST: &str =
        "service S\nversion 1\nstate: struct S\ncommand add\n  by: u64\n  -> unit\n";

    #[test]
    fn a_lock_is_written_kept_and_updated_on_demand_and_never_against_the_rules() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("s.schema");
        let missing = compare(of(FIRST), &file, false).unwrap_err();
        assert!(missing.contains("BRAFT_BLESS=1"), "{missing}");
        compare(of(FIRST), &file, true).expect("written");
        compare(of(FIRST), &file, false).expect("the same");

        let narrower = FIRST.replace("by: u64", "by: u32");
        for bless in [false, true] {
            let refused = compare(of(&narrower), &file, bless).unwrap_err();
            assert!(refused.contains("was u64 and is now u32"), "{refused}");
        }
        compare(of(FIRST), &file, false).expect("untouched");

        let next = FIRST.replace("version 1", "version 2");
        let next = format!("{next}command more (since 2)\n  -> unit\n");
        let outdated = compare(of(&next), &file, false).unwrap_err();
        assert!(outdated.contains("command more is new"), "{outdated}");
        compare(of(&next), &file, true).expect("updated");
        compare(of(&next), &file, false).expect("the same");
        compare(of(FIRST), &file, false).expect_err("no way back");
    }
}
