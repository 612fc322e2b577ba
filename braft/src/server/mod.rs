//! What a node serves: gRPC for peers, clients and operators, HTTP for people.

mod admin;
mod admission;
pub(crate) mod calls;
mod cluster;
mod connections;
pub(crate) mod grpc;
pub(crate) mod http;
mod secured;

pub(crate) use admin::AdminService;
pub(crate) use admission::Admission;
pub(crate) use cluster::ClusterService;
pub(crate) use secured::Greeting;
