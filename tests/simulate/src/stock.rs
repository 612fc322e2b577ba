//! The service whose clusters are played, as it was and as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use braft::raft_service;
use braft::testing::{Check, check};
use serde::{Deserialize, Serialize};

/// Moves whose numbers are kept.
const MAX_MOVES: usize = 8;
/// Of so many clusters one begins with the first version.
const UPGRADED_ONE_IN: u64 = 5;

/// How a seed is played.
pub(crate) fn check_of(seed: u64, nodes: usize, seconds: u64) -> Check<Stock> {
    let check = check::<Stock>()
        .nodes(nodes)
        .repeatable()
        .lasting(Duration::from_secs(seconds));
    if seed.is_multiple_of(UPGRADED_ONE_IN) {
        return check.upgraded_from::<before::Stock>();
    }
    check
}

/// There is too little of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct TooFew {
    left: u64,
}

/// The first version.
pub(crate) mod before {
    use super::{BTreeMap, Deserialize, Serialize, TooFew, raft_service};

    /// Stock of articles.
    #[raft_service]
    #[derive(Default, Serialize, Deserialize)]
    pub struct Stock {
        pub(super) pieces: BTreeMap<String, u64>,
    }

    #[raft_service]
    impl Stock {
        /// Adds pieces.
        pub fn add(&mut self, article: String, pieces: u8) -> u64 {
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

        /// Takes all there is.
        pub fn clear(&mut self) -> usize {
            std::mem::take(&mut self.pieces).len()
        }

        /// What there is of an article.
        pub fn of(&self, article: &str) -> Option<u64> {
            self.pieces.get(article).copied()
        }
    }
}

/// Stock of articles: commands that answer, that fail, and that depend on the context.
#[raft_service(version = 2, migrate = migrate)]
#[derive(Default, Serialize, Deserialize)]
pub struct Stock {
    pieces: Vec<(String, u64)>,
    moves: Vec<u64>,
}

fn migrate(old: before::Stock) -> Stock {
    Stock {
        pieces: old.pieces.into_iter().rev().collect(),
        moves: Vec::new(),
    }
}

impl Stock {
    fn note(&mut self, number: u64) {
        self.moves.push(number);
        if self.moves.len() > MAX_MOVES {
            self.moves.remove(0);
        }
    }

    fn find(&mut self, article: &str) -> Option<&mut u64> {
        let mut pieces = self.pieces.iter_mut();
        pieces.find_map(|(name, stock)| (name == article).then_some(stock))
    }
}

#[raft_service]
impl Stock {
    /// Adds pieces.
    pub fn add(&mut self, context: &mut braft::Context, article: String, pieces: u8) -> u64 {
        let random = context.rng().below(100);
        self.note(random);
        if let Some(stock) = self.find(&article) {
            *stock += u64::from(pieces);
            return *stock;
        }
        self.pieces.push((article, pieces.into()));
        pieces.into()
    }

    /// Takes pieces, for a reason or without.
    pub fn take(
        &mut self,
        article: &str,
        pieces: u8,
        #[arg(since = 2)] reason: Option<String>,
    ) -> Result<u64, TooFew> {
        let moved = reason.map_or(0, |reason| reason.len() as u64);
        let stock = self.find(article).ok_or(TooFew { left: 0 })?;
        let left = *stock;
        *stock = left.checked_sub(pieces.into()).ok_or(TooFew { left })?;
        let left = *stock;
        self.note(moved);
        Ok(left)
    }

    /// Takes all there is.
    #[command(removed = 2)]
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.pieces).len()
    }

    /// Begins to count anew.
    #[command(since = 2)]
    pub fn forget_moves(&mut self) -> usize {
        std::mem::take(&mut self.moves).len()
    }

    /// What there is of an article.
    pub fn of(&self, article: &str) -> Option<u64> {
        let mut pieces = self.pieces.iter();
        pieces.find_map(|(name, stock)| (name == article).then_some(*stock))
    }

    /// Numbers of the last moves.
    #[query(since = 2)]
    pub fn moves(&self) -> Vec<u64> {
        self.moves.clone()
    }
}
