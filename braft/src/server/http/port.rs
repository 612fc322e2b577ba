//! The HTTP port: how many connections it takes, how much a request may say of itself, and how long one
//! may take.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tower::Service;

use super::guard::FromIp;
use super::refusal;
use super::slow::{Paced, Taken};
use crate::server::connections::Connections;
use crate::server::secured::greet_http;
use crate::tls::{Secure, Standing};

/// Request line and headers together, in bytes; beyond it the answer is 431.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Headers of one request; beyond it the answer is 431.
const MAX_HEADERS: usize = 100;
/// From the end of one request to the end of the next one's head. Then the connection is closed: whoever
/// says nothing keeps nobody else out.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// What is answered on connections beyond the limit too: what those ask who look after the node.
const FOR_OPERATORS: [&str; 4] = ["/healthz", "/readyz", "/raft", "/metrics"];

/// What is answered to those who show no certificate: an orchestrator's probes have none.
const FOR_PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Serves until `stop` is cancelled, this many connections. What is under way then is answered.
pub(crate) async fn serve(
    listener: TcpListener,
    max_connections: usize,
    tls: Option<Secure>,
    router: Router,
    stop: CancellationToken,
) {
    let mut connections = Connections::of(listener, max_connections);
    while let Some(connection) = stop.run_until_cancelled(connections.next()).await {
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            let mut guest = Guest {
                beyond: connection.beyond(),
                from: connection.connect_info().from().map(|from| from.ip()),
                standing: Standing::Member,
            };
            let Some(tls) = tls else {
                return converse(connection, guest, router, stop).await;
            };
            if let Some((stream, standing)) = greet_http(&tls, connection).await {
                guest.standing = standing;
                converse(stream, guest, router, stop).await;
            }
        });
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
struct Guest {
    /// The limit, if this is one too many.
    beyond: Option<usize>,
    from: Option<IpAddr>,
    standing: Standing,
}

impl Guest {
    /// Why it gets no answer to what it asks.
    fn refused(self, path: &str) -> Option<Response> {
        if self.standing == Standing::Nobody && !FOR_PROBES.contains(&path) {
            let text = "show a certificate of the members' or the clients' authority";
            return Some(refuse(StatusCode::FORBIDDEN, "rejected", text));
        }
        let limit = self.beyond.filter(|_| !FOR_OPERATORS.contains(&path))?;
        let text = format!(
            "this node has {limit} connections over HTTP, its limit; ask another node, use connections \
             again, or raise max_http_connections"
        );
        let mut refused = refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", &text);
        let headers = refused.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        Some(refused)
    }
}

/// One connection, until it ends.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    guest: Guest,
    router: Router,
    stop: CancellationToken,
) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        async move {
            if let Some(refused) = guest.refused(request.uri().path()) {
                return Ok::<_, Infallible>(refused);
            }
            let mut request = request.map(|body| Body::new(Paced::new(body)));
            if let Some(from) = guest.from {
                request.extensions_mut().insert(FromIp(from));
            }
            router.call(request).await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Taken::by(stream)), answer)
        .with_upgrades();
    let mut connection = pin!(connection);
    // How it ends is the other side's affair.
    tokio::select! {
        ended = connection.as_mut() => return drop(ended),
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(connection.await);
}

/// The connection ends with this answer.
fn refuse(status: StatusCode, kind: &str, detail: &str) -> Response {
    let mut refused = refusal::refuse(status, kind, detail);
    let headers = refused.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    refused
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Longer than anything a node waits for.
    const LONG: Duration = Duration::from_secs(3600);

    fn connect(pipe_bytes: usize) -> DuplexStream {
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/long", get(|| async { "long ".repeat(100_000) }))
            .route(
                "/count",
                post(|body: String| async move { body.len().to_string() }),
            );
        let (ours, theirs) = tokio::io::duplex(pipe_bytes);
        let guest = Guest {
            beyond: None,
            from: None,
            standing: Standing::Member,
        };
        tokio::spawn(converse(theirs, guest, router, CancellationToken::new()));
        ours
    }

    /// All that comes until the connection is closed.
    async fn rest(mut stream: DuplexStream) -> String {
        let mut text = Vec::new();
        // It may end without an end.
        drop(stream.read_to_end(&mut text).await);
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_never_finished_ends_the_connection() {
        let mut stream = connect(4096);
        let sent = async {
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n")
                .await
                .unwrap();
            rest(stream).await
        };
        let answer = tokio::time::timeout(LONG, sent).await.expect("it is open");
        assert!(!answer.contains("200 OK"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nobody_asks_anything_more_is_closed() {
        let mut stream = connect(4096);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let rest = tokio::time::timeout(LONG, rest(stream)).await;
        let answer = rest.expect("it is open");
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_and_one_that_is_merely_long_is_not() {
        let mut stream = connect(4096);
        let head = "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let (reader, mut writer) = tokio::io::split(stream);
        let dripping = tokio::spawn(async move {
            for _ in 0..100_000 {
                if writer.write_all(b"x").await.is_err() {
                    return;
                }
                sleep(Duration::from_secs(5)).await;
            }
        });
        let mut answer = String::new();
        let mut reader = reader;
        let read = reader.read_to_string(&mut answer);
        drop(tokio::time::timeout(LONG, read).await.expect("it is open"));
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        dripping.abort();

        let began = Instant::now();
        let mut stream = connect(4096);
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..10 {
            stream.write_all(&[b'x'; 10_000]).await.unwrap();
            sleep(Duration::from_secs(5)).await;
        }
        assert!(began.elapsed() >= Duration::from_secs(50));
        let answer = rest(stream).await;
        assert!(answer.ends_with("100000"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_the_connection() {
        let mut stream = connect(4096);
        stream
            .write_all(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        sleep(LONG).await;
        // What the pipe holds comes yet, and then the end.
        let answer = rest(stream).await;
        assert!(answer.len() <= 4096, "{} bytes", answer.len());
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_answered_so() {
        for header in [
            format!("X: {}\r\n", "x".repeat(MAX_HEAD_BYTES)),
            (0..MAX_HEADERS + 1)
                .map(|n| format!("X{n}: x\r\n"))
                .collect(),
        ] {
            let mut stream = connect(1 << 20);
            let request = format!("GET / HTTP/1.1\r\n{header}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = rest(stream).await;
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }
}
