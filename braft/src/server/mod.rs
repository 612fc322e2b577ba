//! What a node serves: gRPC for peers and clients, HTTP for people.

pub(crate) mod calls;
mod cluster;
mod connections;
pub(crate) mod grpc;
pub(crate) mod http;

pub(crate) use cluster::ClusterService;
