//! openraft's own test suite for storage, run on the log and the state machine on real files.

use std::path::Path;
use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::log_storage::{LogStore, LoneEntry};
use super::state_machine::StateMachine;
use super::types::TypeConfig;
use crate::machine::{Machine, Watch};
use crate::storage::fs::{DiskFs, Fs};
use crate::storage::snapshot::SnapshotStore;
use crate::storage::wal::{Wal, WalOptions};

struct Builder;

fn open(path: &Path) -> (LogStore, StateMachine) {
    let fs: Arc<dyn Fs> = Arc::new(DiskFs);
    let options = WalOptions {
        segment_bytes: 64 << 10,
        ..WalOptions::default()
    };
    let wal = Wal::open(fs.clone(), &path.join("log"), options).expect("an empty log opens");
    let snapshots = SnapshotStore::open(fs, &path.join("snapshots")).expect("no snapshots open");
    let machine = Machine::new(Vec::new(), Watch::default()).expect("no service clashes");
    let lone = LoneEntry::of(&tokio::runtime::Handle::current());
    (
        LogStore::new(wal.clone(), lone),
        StateMachine::new(machine, snapshots, wal, 1, 1),
    )
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["log", "snapshots"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let (log, machine) = open(directory.path());
        Ok((directory, log, machine))
    }
}

#[test]
fn openraft_storage_suite_passes_on_log_and_state_machine() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(Suite::test_all(Builder))
        .expect("the suite passes");
}
