//! The port itself: how many connections it takes, and what a request may say of itself.

use std::net::{Ipv4Addr, SocketAddr};

use braft::testing::TestResult;
use braft::{Config, Node};
use tests::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::run;

/// Connections that the node serves.
const LIMIT: usize = 2;

async fn start(data_dir: &std::path::Path) -> TestResult<(Node, SocketAddr)> {
    let config = Config::new()
        .service::<Counter>()
        .cluster_name("port")
        .data_dir(data_dir)
        .ip(Ipv4Addr::LOCALHOST.into())
        .raft_port(0)
        .http_port(0)
        .expect_nodes(1)
        .segment_bytes(2 << 20)
        .max_http_connections(LIMIT);
    let node = braft::start(config).await?;
    node.ready().await;
    let address = node.http_address().ok_or("no HTTP")?;
    Ok((node, address))
}

/// One request on this connection; the head of the answer, and its body if it names a length.
async fn ask(stream: &mut TcpStream, request: &str) -> TestResult<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("content-length: "));
            if body.len() >= length.ok_or("no length")?.trim().parse::<usize>()? {
                return Ok(text);
            }
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(format!("closed after {text:?}").into());
        }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n")
}

#[test]
fn a_connection_beyond_the_limit_is_told_so_until_another_one_goes() {
    run(async {
        let data = tempfile::tempdir()?;
        let (node, address) = start(data.path()).await?;
        let value = get("/v1/Counter/get");
        let mut within = Vec::new();
        for _ in 0..LIMIT {
            let mut stream = TcpStream::connect(address).await?;
            let answer = ask(&mut stream, &value).await?;
            assert!(answer.starts_with("http/1.1 200"), "{answer}");
            within.push(stream);
        }
        let mut beyond = TcpStream::connect(address).await?;
        // Whoever looks after the node is not kept out by those who use it.
        let answer = ask(&mut beyond, &get("/healthz")).await?;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        let answer = ask(&mut beyond, &value).await?;
        assert!(answer.starts_with("http/1.1 503"), "{answer}");
        assert!(
            answer.contains("2 connections over http, its limit"),
            "{answer}"
        );
        assert_eq!(beyond.read(&mut [0]).await?, 0, "the connection stayed");
        // The others are served as before; what one leaves is taken by the next.
        let answer = ask(&mut within[0], &value).await?;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        within.pop();
        loop {
            let mut next = TcpStream::connect(address).await?;
            if ask(&mut next, &value).await?.starts_with("http/1.1 200") {
                break;
            }
        }
        node.shutdown(std::time::Duration::from_secs(5)).await;
        Ok(())
    });
}

#[test]
fn a_head_that_is_too_large_is_refused_and_others_are_served() {
    run(async {
        let data = tempfile::tempdir()?;
        let (node, address) = start(data.path()).await?;
        let mut stream = TcpStream::connect(address).await?;
        let long = format!("/{}", "x".repeat(33 << 10));
        let answer = ask(&mut stream, &get(&long)).await?;
        assert!(
            answer.starts_with("http/1.1 431") || answer.starts_with("http/1.1 414"),
            "{answer}"
        );
        let mut stream = TcpStream::connect(address).await?;
        let answer = ask(&mut stream, &get("/v1/Counter/get")).await?;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        node.shutdown(std::time::Duration::from_secs(5)).await;
        Ok(())
    });
}
