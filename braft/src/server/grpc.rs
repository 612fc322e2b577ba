//! The gRPC server of a node: one port for peers, clients and one's own services.

use std::future::Future;
use std::sync::Arc;

use tonic::service::Routes;
use tonic::transport::Server;

use super::admission::{Admission, admit};
use super::connections::Connections;
use super::secured::{Greeting, greet};
use crate::error::Error;
use crate::net::Listener;
#[cfg(feature = "testing")]
use crate::world;

/// Streams of one connection at once; a further one waits.
const MAX_STREAMS_PER_CONNECTION: u32 = 4096;
/// Flow-control windows: room for a few large frames under way.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// The largest block of headers, in bytes.
const MAX_HEADER_BYTES: u32 = 32 << 10;
/// Dead connections are found out after this long.
const KEEP_ALIVE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Serves until `stop` is ready, this many connections beside those of members. Connections that are
/// then open are closed by their owners or with the process.
pub(crate) async fn serve(
    listener: Listener,
    max_connections: usize,
    greeting: Greeting,
    admission: Admission,
    routes: Routes,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let limit = axum::middleware::from_fn_with_state(Arc::new(admission), admit);
    let routes = Routes::from(routes.into_axum_router().layer(limit));
    #[cfg(feature = "testing")]
    let routes = match world::process::Process::of_task() {
        Some(process) => in_process(routes, process),
        None => routes,
    };
    let server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_routes(routes);
    let served = match listener {
        Listener::Tcp(listener) => {
            let connections = Connections::of(listener, max_connections);
            if greeting.is_nothing() {
                let incoming = connections.into_stream();
                server.serve_with_incoming_shutdown(incoming, stop).await
            } else {
                let incoming = greet(connections, greeting);
                server.serve_with_incoming_shutdown(incoming, stop).await
            }
        }
        #[cfg(feature = "testing")]
        Listener::Memory(connections) => {
            let incoming = tokio_stream::wrappers::UnboundedReceiverStream::new(connections);
            let incoming = futures_util::StreamExt::map(incoming, Ok::<_, std::io::Error>);
            server.serve_with_incoming_shutdown(incoming, stop).await
        }
    };
    served.map_err(|error| Error::fatal("the gRPC server stopped").with_source(error))
}

/// Calls are carried out by tasks of their connections, which nobody but tonic begins.
#[cfg(feature = "testing")]
fn in_process(routes: Routes, process: world::process::Process) -> Routes {
    use axum::{extract::Request, middleware::Next};

    let run = move |request: Request, next: Next| process.clone().run(next.run(request));
    let layer = axum::middleware::from_fn(run);
    Routes::from(routes.into_axum_router().layer(layer))
}

/// The schemas of this node's services, for tools that ask for them. Many of them speak the older form of the
/// question still.
pub(crate) fn reflection(routes: Routes) -> Result<Routes, Error> {
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::wire::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let wrong = |error| Error::fatal("the gRPC schemas cannot be served").with_source(error);
    let service = described().build_v1().map_err(wrong)?;
    let older = described().build_v1alpha().map_err(wrong)?;
    Ok(routes.add_service(service).add_service(older))
}
