//! braft turns an ordinary struct into a replicated, durable, highly available service.
//!
//! # Map of the crate
//! Imports only go down the floors.
//!
//! | floor | modules |
//! |---|---|
//! | 5 | `run`: start, await the signal, drain, stop; `logging`; `cli`: the command line |
//! | 4 | `config`, `node`, `server`, `distribute`, `replay`, `offline` |
//! | 3 | `cluster`, `client`, `discovery` |
//! | 2 | `raft`: the only place that names openraft |
//! | 1 | `service`, `collections`, `call`, `leadership`, `request`, `context`, `effects`, `entry`, `event`, `json`, `keys`, `life`, `machine`, `member`, `metrics`, `net`, `schema`, `session`, `settings`, `status`, `storage`, `subscription`, `tls`, `trace`, `wall`, `wire`, `world`, `private` |
//! | 0 | `error`, `backoff`, `codec`, `planted`, `probe`, `siphash` |

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod access;
mod backoff;
mod call;
#[cfg(feature = "cli")]
pub mod cli;
mod client;
mod cluster;
mod codec;
pub mod collections;
mod config;
mod context;
mod discovery;
#[cfg(feature = "macros")]
pub mod distribute;
mod effects;
mod entry;
mod error;
mod event;
mod generator;
#[cfg(test)]
mod golden;
#[cfg(feature = "http")]
mod json;
mod keys;
mod leadership;
mod life;
mod logging;
mod machine;
mod member;
mod metrics;
mod net;
mod node;
#[cfg(feature = "cli")]
mod offline;
mod planted;
mod probe;
mod raft;
mod replay;
mod request;
mod run;
mod schema;
mod server;
mod service;
mod session;
mod settings;
mod siphash;
mod status;
mod storage;
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod trace;
mod wall;
mod wire;
mod world;

/// HTTP: what a program needs to add routes of its own.
pub mod http {
    pub use crate::server::http::error_response;
    pub use axum;
}

/// gRPC: what a program needs to add services of its own.
pub mod grpc {
    pub use tonic;
}

#[cfg(feature = "macros")]
pub use braft_macros::{raft_service, test};
pub use call::{Call, Channel, CommandCall, QueryCall, ReadLevel};
pub use client::{Client, ConnectOptions};
pub use collections::Freeze;
pub use config::Config;
pub use context::{Context, LogPosition, NoEvents, RequestId, Rng};
pub use discovery::{
    Announcement, Discovery, DiscoverySpec, Dns, DnsName, Host, InvalidDiscovery, InvalidDnsName,
    InvalidItem, InvalidPeerAddress, InvalidStaticList, PeerAddress, PeerSet, StaticList,
};
#[cfg(feature = "kubernetes")]
pub use discovery::{InvalidKubernetes, InvalidSelector, Kubernetes};
#[cfg(feature = "mdns")]
pub use discovery::{InvalidServiceType, Mdns, ServiceType};
pub use effects::TooManyWakes;
pub use error::{Error, ErrorKind, Outcome};
pub use event::{Event, EventPosition};
pub use leadership::{Leader, LeaderChange, LeaderToken};
pub use node::{Node, Stopped, start};
pub use replay::{Replay, Replayed, replay};
pub use run::{run, run_until};
pub use schema::{ParseSchemaError, Schema, schema};
pub use service::{Method, Service, State};
pub use settings::{OnPanic, Settings};
pub use status::{LogStatus, Member, PanicStatus, ServiceStatus, Status};
pub use subscription::Events;
#[cfg(feature = "tls")]
pub use tls::Tls;

/// Compiles the programs of the README.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
