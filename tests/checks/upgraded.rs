//! A service whose next version comes node by node while the cluster is tormented.

use std::collections::BTreeMap;
use std::time::Duration;

use braft::testing::check;

/// The service as it was.
mod before {
    use super::BTreeMap;
    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    #[raft_service]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Book {
        times: BTreeMap<u8, u32>,
    }

    #[raft_service]
    impl Book {
        pub fn record(&mut self, id: u8) -> u32 {
            let times = self.times.entry(id).or_default();
            *times += 1;
            *times
        }

        pub fn clear(&mut self) -> usize {
            std::mem::take(&mut self.times).len()
        }

        pub fn times(&self) -> BTreeMap<u8, u32> {
            self.times.clone()
        }
    }
}

/// Another state, an argument and a command more, a command less.
mod after {
    use super::BTreeMap;
    use braft::{Context, raft_service};
    use serde::{Deserialize, Serialize};

    #[raft_service(version = 2, migrate = migrate)]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Book {
        pages: Vec<(u8, u32)>,
        notes: BTreeMap<u8, String>,
    }

    fn migrate(old: super::before::Book) -> Book {
        Book {
            pages: old.times().into_iter().collect(),
            notes: BTreeMap::new(),
        }
    }

    #[raft_service]
    impl Book {
        pub fn record(
            &mut self,
            context: &mut Context,
            id: u8,
            #[arg(since = 2)] note: Option<String>,
        ) -> u32 {
            if let Some(note) = note {
                self.notes.insert(id, note);
            }
            let lucky = u32::from(context.rng().below(2) == 0);
            match self.pages.iter_mut().find(|page| page.0 == id) {
                Some(page) => {
                    page.1 += 1 + lucky;
                    page.1
                }
                None => {
                    self.pages.push((id, 10));
                    10
                }
            }
        }

        #[command(removed = 2)]
        pub fn clear(&mut self) -> usize {
            self.pages.len()
        }

        #[command(since = 2)]
        pub fn forget(&mut self, id: u8) -> bool {
            self.pages.retain(|page| page.0 != id);
            self.notes.remove(&id).is_some()
        }

        pub fn times(&self) -> BTreeMap<u8, u32> {
            self.pages.iter().copied().collect()
        }

        #[query(since = 2)]
        pub fn notes(&self) -> BTreeMap<u8, String> {
            self.notes.clone()
        }
    }
}

/// A binary that does not wait until its version is active.
mod hasty {
    use super::BTreeMap;
    use braft::raft_service;
    use serde::{Deserialize, Serialize};

    #[raft_service(version = 2)]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Book {
        times: BTreeMap<u8, u32>,
    }

    #[raft_service]
    impl Book {
        pub fn record(&mut self, id: u8) -> u32 {
            let times = self.times.entry(id).or_default();
            *times += 2;
            *times
        }

        pub fn times(&self) -> BTreeMap<u8, u32> {
            self.times.clone()
        }

        #[query(since = 2)]
        pub fn count(&self) -> usize {
            self.times.len()
        }
    }
}

#[tokio::test]
async fn a_new_version_comes_node_by_node_under_faults() {
    let checked = check::<after::Book>()
        .upgraded_from::<before::Book>()
        .seeds(3)
        .lasting(Duration::from_secs(20));
    if let Err(error) = checked.run().await {
        panic!("{error}");
    }
}

#[tokio::test]
async fn a_binary_that_is_ahead_of_the_active_version_is_caught() {
    let checked = check::<hasty::Book>()
        .upgraded_from::<before::Book>()
        .seeds(5)
        .lasting(Duration::from_secs(20));
    let text = checked.run().await.err().map(|error| error.to_string());
    let text = text.expect("the binaries differ");
    assert!(text.contains("the nodes disagree"), "{text}");
}
