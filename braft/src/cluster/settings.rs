//! The replicated settings a new cluster begins with.

use std::sync::Arc;

use crate::codec;
use crate::entry::Item;
use crate::raft::{RaftNode, Role};
use crate::settings::Settings;

/// Seeds the replicated settings of a new cluster from this node's configuration.
pub(crate) async fn seed(raft: RaftNode, seed: Arc<Settings>) {
    let settings =
        bytes::Bytes::from(codec::encode(&*seed).expect("numbers always have a MessagePack form"));
    let mut applied = raft.watch_applied();
    loop {
        if raft.machine().glance(|replica| replica.seeded()) == Some(true) {
            return;
        }
        let leads = raft.wait_for(|view| view.role == Role::Leader).await;
        if leads.is_none() {
            return;
        }
        let seeded = raft.propose_own(Item::SeedSettings {
            settings: settings.clone(),
        });
        // Refused, because another node leads by now: that one seeds; see when it has.
        if seeded.await.is_err() && applied.changed().await.is_err() {
            return;
        }
    }
}
