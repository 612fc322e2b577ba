//! Asking a node over HTTP, by hand: one short request needs no HTTP client.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest one question may take.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The longest answer that is read: a status of nine nodes is far below.
const MAX_ANSWER_BYTES: u64 = 256 * 1024;

/// Status and body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Sends `GET path` to a port of this machine.
pub(super) async fn get(port: u16, path: &str) -> io::Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        // HTTP/1.0: the answer comes unchunked and ends with the connection.
        let request = format!("GET {path} HTTP/1.0\r\nhost: 127.0.0.1:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream
            .take(MAX_ANSWER_BYTES)
            .read_to_end(&mut answer)
            .await?;
        parse(&String::from_utf8_lossy(&answer))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
    };
    timeout(TIMEOUT, exchange)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut words = head.split_ascii_whitespace();
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    Some(Answer {
        status: words.next()?.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let answer = parse("HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nno leader\r\n\r\n");
        let expected = Answer {
            status: 503,
            body: "no leader\r\n\r\n".to_owned(),
        };
        assert_eq!(answer, Some(expected));
    }

    #[test]
    fn garbage_is_not_an_answer() {
        for text in ["", "HTTP/1.1 200", "SSH-2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
