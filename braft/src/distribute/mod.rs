//! Work distribution: lists of work items, spread evenly and stickily over the members.
//!
//! A program that is configured with [`Config::distribute`](crate::Config::distribute) keeps any
//! number of named lists. The leader assigns their items to the members, anew whenever the
//! membership changes, under its fencing number; each node follows its own share with
//! [`Node::work_list`](crate::Node::work_list), or `GET /distribute/{list}`. Lists and assignment
//! are replicated state: they survive failover and restart.
//!
//! Each member gets the same number of items, give or take one, and an item moves only if its
//! member is gone or has more than its part. A member that is down keeps its items until it is
//! removed from the cluster.
//!
//! A share is what *this node* has applied. While a change of the assignment travels, the old and
//! the new owner of an item may both hold it. Where that must not be, pass the share's
//! [`position`](Share::position) along as a fencing number: it only grows, and the new owner's is
//! greater.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use braft::Config;
//! use braft::distribute::{ShareState, WorkItem};
//! use futures_util::StreamExt;
//!
//! let node = braft::start(Config::from_env()?.distribute()).await?;
//! let feeds = node.work_list::<String>("feeds");
//! feeds.set(&[WorkItem::new("rust", "https://example.org/rust.xml".to_owned())]).await??;
//!
//! let mut shares = feeds.shares();
//! while let Some(share) = shares.next().await {
//!     match share?.state {
//!         ShareState::Assigned(items) => println!("{} feeds are mine", items.len()),
//!         other => println!("no share yet: {other:?}"),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `assign.rs` | which item goes to whom |
//! | `item.rs` | items, shares and what is refused |
//! | `lists.rs` | the replicated service |
//! | `list.rs` | one list, typed, as a node sees it |
//! | `keep.rs` | the leader's task, and how a program turns all this on |
//! | `http.rs` | `GET /distribute/{list}` |

mod assign;
mod http;
mod item;
mod keep;
mod list;
mod lists;

pub use item::{Assignment, Payload, Share, ShareState, WorkError, WorkItem};
pub use list::{Shares, WorkList};
pub use lists::{WorkLists, WorkListsClient};
