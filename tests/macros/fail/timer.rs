//! A service has one timer, which nobody calls.

use braft::{Context, raft_service};
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Leases {
    held: u64,
}

#[raft_service]
impl Leases {
    fn take(&mut self, context: &mut Context) {
        self.held += 1;
        drop(context.wake_at(context.now()));
    }

    #[timer]
    fn expire(&mut self, context: &mut Context) {
        self.held = 0;
        let _ = context.now();
    }

    #[timer]
    fn second(&mut self) {}

    #[timer(every = 5)]
    fn options(&mut self) {}

    #[timer]
    fn reads(&self) {}

    #[timer]
    fn argument(&mut self, context: &mut Context, lease: u64) -> u64 {
        lease + context.log_position().index
    }

    #[timer]
    #[command]
    fn called(&mut self) {}

    #[timer]
    fn clock(&mut self) {
        let _ = std::time::SystemTime::now();
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Forgotten {
    held: u64,
}

#[raft_service]
impl Forgotten {
    fn take(&mut self, context: &mut Context) -> Result<u64, braft::TooManyWakes> {
        self.held += 1;
        if self.held > 1 {
            context.wake_at(context.now())?;
        }
        Ok(self.held)
    }
}

fn main() {}
