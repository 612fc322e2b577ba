//! A service with all kinds of types.

use std::collections::BTreeMap;
use std::net::IpAddr;

use braft::{Context, raft_service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Notes on a board.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
pub struct Board {
    notes: BTreeMap<u64, Note>,
    pinned: u64,
}

/// What is pinned to the board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// What it says.
    pub text: String,
    /// What it looks like.
    pub color: Color,
    /// Where it is.
    pub at: Spot,
    /// Who has pinned it.
    pub by: Option<IpAddr>,
}

/// What a note looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Color {
    /// As it is.
    White,
    /// Parts.
    Mixed {
        /// Of red.
        red: u8,
        /// Of blue.
        blue: u8,
    },
    /// By name.
    Named(String),
}

/// A place on the board.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Spot {
    /// To the right.
    pub x: i32,
    /// Down.
    pub y: i32,
}

/// Why a note is not pinned.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum NotPinned {
    /// It says nothing.
    #[error("the note is blank")]
    Blank,
    /// Another note is there.
    #[error("note {by} is there")]
    Taken {
        /// Which.
        by: u64,
    },
}

/// A note was pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pinned {
    /// Its number.
    pub id: u64,
    /// Where.
    pub at: Spot,
}

/// What was said, all kinds of numbers and bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// Above what a double holds, say.
    pub big: u64,
    /// Below zero, say.
    pub signed: i64,
    /// Any bytes.
    pub bytes: Vec<u8>,
    /// A map whose keys are no text.
    pub spots: BTreeMap<Spot, u64>,
    /// A map whose keys are numbers.
    pub names: BTreeMap<u32, String>,
}

type Answer<T> = Result<T, NotPinned>;

#[raft_service]
impl Board {
    /// Pins a note and answers its number.
    ///
    /// A spot has room for one.
    pub fn pin(
        &mut self,
        context: &mut Context<Pinned>,
        text: &str,
        color: Color,
        at: Spot,
        by: Option<IpAddr>,
    ) -> Answer<u64> {
        if text.trim().is_empty() {
            return Err(NotPinned::Blank);
        }
        let mut notes = self.notes.iter();
        if let Some((id, _)) = notes.find(|(_, note)| note.at == at) {
            return Err(NotPinned::Taken { by: *id });
        }
        self.pinned += 1;
        let id = self.pinned;
        let text = text.to_owned();
        let note = Note {
            text,
            color,
            at,
            by,
        };
        self.notes.insert(id, note);
        context.emit(Pinned { id, at });
        Ok(id)
    }

    /// Takes a note off.
    pub fn unpin(&mut self, id: u64) -> Option<Note> {
        self.notes.remove(&id)
    }

    /// Takes all notes off.
    pub fn clear(&mut self) {
        self.notes.clear();
    }

    /// A note.
    pub fn note(&self, id: u64) -> Option<&Note> {
        self.notes.get(&id)
    }

    /// How many notes there are.
    pub fn count(&self) -> usize {
        self.notes.len()
    }

    /// Says what it is told.
    pub fn echo(
        &self,
        big: u64,
        signed: i64,
        bytes: Vec<u8>,
        spots: BTreeMap<Spot, u64>,
        names: BTreeMap<u32, String>,
    ) -> Echo {
        Echo {
            big,
            signed,
            bytes,
            spots,
            names,
        }
    }

    /// The notes of a color.
    pub fn of_color(&self, color: Color) -> Vec<u64> {
        let notes = self.notes.iter().filter(|(_, note)| note.color == color);
        notes.map(|(id, _)| *id).collect()
    }
}
