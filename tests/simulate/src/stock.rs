//! The service whose clusters are played.

use std::collections::BTreeMap;

use braft::raft_service;
use serde::{Deserialize, Serialize};

/// Stock of articles: commands that answer, that fail, and that depend on the context.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Stock {
    pieces: BTreeMap<String, u64>,
    moves: Vec<u64>,
}

/// There is too little of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct TooFew {
    left: u64,
}

#[raft_service]
impl Stock {
    /// Adds pieces.
    pub fn add(&mut self, context: &mut braft::Context, article: String, pieces: u8) -> u64 {
        self.moves.push(context.rng().below(100));
        if self.moves.len() > 8 {
            self.moves.remove(0);
        }
        let stock = self.pieces.entry(article).or_default();
        *stock += u64::from(pieces);
        *stock
    }

    /// Takes pieces.
    pub fn take(&mut self, article: &str, pieces: u8) -> Result<u64, TooFew> {
        let stock = self.pieces.get_mut(article).ok_or(TooFew { left: 0 })?;
        let left = *stock;
        *stock = left.checked_sub(pieces.into()).ok_or(TooFew { left })?;
        Ok(*stock)
    }

    /// What there is of an article.
    pub fn of(&self, article: &str) -> Option<u64> {
        self.pieces.get(article).copied()
    }

    /// Random numbers of the last moves.
    pub fn moves(&self) -> Vec<u64> {
        self.moves.clone()
    }
}
