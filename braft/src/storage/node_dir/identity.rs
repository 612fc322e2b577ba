//! The file that says who the node is.

use std::io;
use std::path::Path;

use super::error::OpenNodeDirError;
use super::sealed::{read_sealed, seal};
use super::{NODE, NODE_MAGIC};
use crate::storage::fs::Fs;

/// Bytes of the node file.
const NODE_BYTES: usize = 48;
const HAS_CLUSTER: u64 = 1;

/// Which node this is, and of which cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) node_id: u64,
    pub(crate) cluster_id: Option<u128>,
}

impl Identity {
    /// A new node's: a random id, and no cluster yet.
    pub(crate) fn random() -> io::Result<Self> {
        loop {
            let node_id = crate::world::random()?;
            if node_id != 0 {
                return Ok(Identity {
                    node_id,
                    cluster_id: None,
                });
            }
        }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = vec![0; NODE_BYTES];
        bytes[16..24].copy_from_slice(&self.node_id.to_le_bytes());
        if let Some(cluster_id) = self.cluster_id {
            bytes[24..32].copy_from_slice(&HAS_CLUSTER.to_le_bytes());
            bytes[32..48].copy_from_slice(&cluster_id.to_le_bytes());
        }
        seal(&mut bytes, NODE_MAGIC);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; NODE_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?));
        let cluster_id = u128::from_le_bytes(bytes[32..48].try_into().ok()?);
        let identity = Self {
            node_id: number(16)?,
            cluster_id: (number(24)? == HAS_CLUSTER).then_some(cluster_id),
        };
        (identity.node_id != 0).then_some(identity)
    }
}

/// Reads the file that [`Identity::encode`] filled.
pub(super) fn read_node(fs: &dyn Fs, dir: &Path) -> Result<Identity, OpenNodeDirError> {
    let file = dir.join(NODE);
    let bytes = read_sealed(fs, dir, &file, NODE_MAGIC, NODE_BYTES)?;
    Identity::decode(&bytes).ok_or_else(|| {
        let what = "it does not hold a node's identity".into();
        OpenNodeDirError::Damaged { file, what }
    })
}
