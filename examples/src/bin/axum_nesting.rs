//! A node inside an axum app of one's own: its routes below `/cluster`, the app's beside them.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use braft::{Config, raft_service};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

#[raft_service]
impl Counter {
    fn add(&mut self, by: u64) -> u64 {
        self.value = self.value.saturating_add(by);
        self.value
    }

    fn get(&self) -> u64 {
        self.value
    }
}

/// The app's own handler: the cluster's errors become HTTP answers with the fitting status.
async fn total(State(counter): State<CounterClient>) -> Response {
    match counter.get().await {
        Ok(total) => Json(total).into_response(),
        Err(error) => braft::http::error_response(&error),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let config = Config::new()
        .service::<Counter>()
        .data_dir(data.path())
        .ip(Ipv4Addr::LOCALHOST.into())
        .raft_port(0)
        // No others are to be waited for.
        .expect_nodes(1)
        // The app below serves HTTP; the node opens no port for it.
        .without_http();
    let node = braft::start(config).await?;
    let counter = node.client::<Counter>();
    counter.add(2).await?;

    let app = Router::new()
        .route("/counter", get(total))
        .with_state(counter)
        .nest("/cluster", node.router());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(axum::serve(listener, app).into_future());

    println!(
        "GET /counter answered {}",
        fetch(address, "/counter").await?
    );
    println!(
        "GET /cluster/readyz answered {}",
        fetch(address, "/cluster/readyz").await?
    );

    server.abort();
    node.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// The body of `GET path`: this example plays its own visitor.
async fn fetch(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    Ok(body.unwrap_or_default().trim().to_owned())
}
