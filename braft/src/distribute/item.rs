//! Items, shares and what is refused.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::context::LogPosition;
use crate::error::Error;

/// One item of a work list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem<T> {
    /// Names it within its list.
    pub id: String,
    /// What there is to know about it.
    pub value: T,
}

impl<T> WorkItem<T> {
    /// An item.
    pub fn new(id: impl Into<String>, value: T) -> Self {
        WorkItem {
            id: id.into(),
            value,
        }
    }
}

/// An item's value as it is stored: MessagePack with field names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload(#[serde(with = "codec::byte_string")] bytes::Bytes);

impl Payload {
    /// Stores a value.
    ///
    /// # Errors
    /// *Rejected* if it has no MessagePack form.
    pub fn of<T: Serialize>(value: &T) -> Result<Self, Error> {
        let bytes = codec::encode(value)
            .map_err(|error| Error::rejected("the item cannot be encoded").with_source(error))?;
        Ok(Payload(bytes.into()))
    }

    /// Reads the value.
    ///
    /// # Errors
    /// *Rejected* if it is of another type.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, Error> {
        codec::decode(&self.0).map_err(|error| {
            Error::rejected("the item is not of the type it is read as").with_source(error)
        })
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds no bytes at all, as no value of [`of`](Self::of) does.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What one node is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share<T> {
    /// Where in the log the list or its assignment last changed. It only grows.
    pub position: LogPosition,
    /// The items, or why there are none.
    pub state: ShareState<T>,
}

/// The items of a share, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ShareState<T> {
    /// There is no such list.
    Absent,
    /// The leader has not said yet who the members are: nobody has a share.
    Unassigned,
    /// The list is assigned to members of which this node is none.
    NotMember,
    /// This node's items, in the order of the list. None, if there are more members than items.
    Assigned(Vec<WorkItem<T>>),
}

impl Share<Payload> {
    /// The share with its values read.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Result<Share<T>, Error> {
        let state = match &self.state {
            ShareState::Absent => ShareState::Absent,
            ShareState::Unassigned => ShareState::Unassigned,
            ShareState::NotMember => ShareState::NotMember,
            ShareState::Assigned(items) => {
                let typed = items
                    .iter()
                    .map(|item| Ok(WorkItem::new(item.id.clone(), item.value.value()?)));
                ShareState::Assigned(typed.collect::<Result<_, Error>>()?)
            }
        };
        Ok(Share {
            position: self.position,
            state,
        })
    }
}

/// Who has an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The item's id.
    pub item: String,
    /// Its node's id, 16 hexadecimal digits; `None` while it is not assigned.
    pub node: Option<String>,
}

/// Why a change of a list was refused; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WorkError {
    /// There is no list of this name.
    #[error("there is no work list {0:?}; make it with `set` or `put`")]
    NoList(String),
    /// There is no item of this id.
    #[error("there is no item {0:?} in the work list")]
    NoItem(String),
    /// Two items bear one id.
    #[error("two items are named {0:?}; the ids of a list have to differ")]
    Doubled(String),
    /// A name or id is empty or too long.
    #[error("the name or id {name:?} must have 1 to {limit} bytes")]
    Name {
        /// What was given, cut to the limit.
        name: String,
        /// The limit in bytes.
        limit: u32,
    },
    /// A limit was met.
    #[error("there may be {limit} {what} at most, not {got}")]
    Limit {
        /// What is limited.
        what: String,
        /// The limit.
        limit: u64,
        /// What was asked for.
        got: u64,
    },
}
