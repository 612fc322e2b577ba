//! Tokens of callers: what each is good for, and what is written down.

use std::path::Path;

use braft::cli::{Screen, run};
use braft::testing::TestResult;
use braft::{Client, Config, ConnectOptions, ErrorKind, Node, Outcome};
use tests::CounterClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::members::{Files, Members, logged, never_logged, test};
use crate::outsider::until;

const JOIN: &str = "the-secret-of-the-members";
const READER: &str = "what-the-reader-has-to-show";
const WRITER: &str = "what-the-writer-has-to-show";
const OPERATOR: &str = "what-the-operator-shows-us";
const STRANGER: &str = "what-nobody-has-ever-given";

fn all() -> String {
    format!("# who may call\nread grafana {READER}\nwrite shop {WRITER}\nadmin ops {OPERATOR}\n")
}

fn options(token: &str) -> ConnectOptions {
    ConnectOptions::new().token(token)
}

struct Secrets {
    files: Files,
    join: std::path::PathBuf,
    tokens: std::path::PathBuf,
}

impl Secrets {
    fn new() -> TestResult<Self> {
        let files = Files::new()?;
        Ok(Secrets {
            join: files.write("join", JOIN)?,
            tokens: files.write("tokens", &all())?,
            files,
        })
    }

    fn configure(&self, config: Config) -> Config {
        config.join_token_file(&self.join).tokens_file(&self.tokens)
    }
}

fn refused<T>(result: Result<T, braft::Error>, said: &str) -> TestResult {
    let error = result.err().ok_or("it was let in")?;
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(
        error.to_string().contains(said),
        "{said:?} is missing in: {error}"
    );
    Ok(())
}

#[test]
fn a_caller_may_do_what_its_token_is_good_for_through_any_node() {
    test(async |log| {
        let secrets = Secrets::new()?;
        let members = Members::start(3, |_, config| secrets.configure(config)).await?;
        let at = &members.addresses;
        let connect = |token: &str| CounterClient::connect_with(at, options(token));
        let (writer, reader) = (connect(WRITER).await?, connect(READER).await?);
        assert_eq!(writer.add(1).await??, 1);
        assert_eq!(reader.get().await?, 1);
        refused(reader.add(1).await, "needs the role write")?;
        refused(CounterClient::connect(at).await, "show a token")?;
        refused(connect(STRANGER).await, "does not know the token")?;
        refused(connect("short").await, "16 to 512")?;
        // Each node passes on what the leader has to do; what is refused does not get as far.
        for (calls, address) in at.iter().enumerate() {
            let alone = [address.clone()];
            let writer = CounterClient::connect_with(&alone, options(WRITER)).await?;
            assert_eq!(writer.add(1).await??, calls as u64 + 2);
            let reader = CounterClient::connect_with(&alone, options(READER)).await?;
            refused(reader.add(1).await, "needs the role write")?;
            assert_eq!(reader.get().follower().await?, calls as u64 + 2);
        }
        // What a node passes on for an operator, it says it is.
        let is_leader = |node: &Node| node.status().role == "leader";
        let place = members.nodes.iter().position(|node| !is_leader(node));
        let passing = &members.nodes[place.ok_or("all lead")?].status();
        let file = secrets
            .files
            .write("shown", OPERATOR)?
            .display()
            .to_string();
        let words = [
            "braft",
            "transfer-leader",
            "--address",
            &passing.address,
            "--token-file",
            &file,
        ];
        let mut screen = Screen::new(std::io::sink(), std::io::sink());
        assert_eq!(run(words.iter().map(Into::into), &mut screen).await, 0);
        logged(log, "caller=\"ops\"").await?;
        let says = format!("says=\"node {} ({})\"", passing.name, passing.node_id);
        logged(log, &says).await?;
        for line in log.lines(&says) {
            assert!(line.contains("caller=\"a member\""), "{line}");
        }
        never_logged(log, &[JOIN, READER, WRITER, OPERATOR, STRANGER]);
        members.stop().await;
        Ok(())
    });
}

#[test]
fn operators_show_a_token_and_what_they_do_is_written_down() {
    test(async |log| {
        let secrets = Secrets::new()?;
        let members = Members::start(1, |_, config| secrets.configure(config)).await?;
        let at = &members.addresses[0];
        let snapshot = async |option: &str, text: &str| -> TestResult<u8> {
            let file = secrets.files.write("shown", text)?.display().to_string();
            let mut screen = Screen::new(std::io::sink(), std::io::sink());
            let words = ["braft", "snapshot", "--address", at, option, &file];
            Ok(run(words.iter().map(Into::into), &mut screen).await)
        };
        assert_eq!(snapshot("--token-file", WRITER).await?, 1);
        logged(
            log,
            "an operator's call was refused: this needs the role admin",
        )
        .await?;
        assert_eq!(snapshot("--token-file", STRANGER).await?, 1);
        logged(
            log,
            "an operator's call was refused: this node does not know",
        )
        .await?;
        assert_eq!(snapshot("--token-file", OPERATOR).await?, 0);
        logged(log, "caller=\"ops\"").await?;
        // A member is one, whatever else it shows not.
        assert_eq!(snapshot("--join-token-file", JOIN).await?, 0);
        logged(log, "caller=\"a member\"").await?;
        // That anybody can listen is said, and once.
        assert_eq!(log.lines("this node speaks plain text").len(), 1);
        for line in log.lines("an operator's call") {
            assert!(
                line.contains("braft::audit") && line.contains("from="),
                "{line}"
            );
        }
        never_logged(log, &[JOIN, READER, WRITER, OPERATOR, STRANGER]);
        members.stop().await;
        Ok(())
    });
}

#[test]
fn tokens_change_without_a_restart_and_streams_with_them() {
    test(async |log| {
        let secrets = Secrets::new()?;
        let members = Members::start(1, |_, config| secrets.configure(config)).await?;
        let at = &members.addresses;
        let writer = CounterClient::connect_with(at, options(WRITER)).await?;
        let reader = CounterClient::connect_with(at, options(READER)).await?;
        assert_eq!(writer.add(1).await??, 1);
        assert_eq!(reader.get().await?, 1);
        // What cannot be used changes nothing.
        secrets.files.write("tokens", "read grafana")?;
        logged(log, "what was read before goes on").await?;
        assert_eq!(writer.add(1).await??, 2);
        let now = format!("write grafana {READER}\nread new {STRANGER}");
        secrets.files.write("tokens", &now)?;
        until("the token to be withdrawn", || async {
            writer.get().await.is_err_and(|error| {
                error.kind() == ErrorKind::Rejected && error.to_string().contains("withdrawn")
            })
        })
        .await?;
        refused(writer.add(1).await, "withdrawn")?;
        assert_eq!(reader.add(1).await??, 3);
        let new = CounterClient::connect_with(at, options(STRANGER)).await?;
        assert_eq!(new.get().await?, 3);
        never_logged(log, &[JOIN, READER, WRITER, OPERATOR, STRANGER]);
        members.stop().await;
        Ok(())
    });
}

/// The head of an answer over HTTP, in lower case.
async fn http(node: &Node, request: &str, token: Option<&str>) -> TestResult<String> {
    let address = node.http_address().ok_or("no HTTP")?;
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let token = token.map(|token| format!("authorization: {token}\r\n"));
    let head = format!(
        "{request} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{}content-type: application/json\r\n\
         content-length: 8\r\n\r\n{{\"by\":1}}",
        token.unwrap_or_default()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    // It may end without a farewell, where the body was not read.
    drop(stream.read_to_end(&mut answer).await);
    Ok(String::from_utf8_lossy(&answer).to_lowercase())
}

#[test]
fn over_http_a_token_is_asked_for_by_all_but_the_probes() {
    test(async |log| {
        let secrets = Secrets::new()?;
        let data = tempfile::tempdir()?;
        let config = secrets
            .configure(Config::new())
            .service::<tests::Counter>()
            .data_dir(data.path())
            .ip(std::net::Ipv4Addr::LOCALHOST.into())
            .raft_port(0)
            .http_port(0)
            .expect_nodes(1)
            .segment_bytes(2 << 20);
        let node = braft::start(config).await?;
        node.ready().await;
        let bearer = |token: &str| format!("Bearer {token}");
        let [reader, writer, stranger] = [READER, WRITER, STRANGER].map(bearer);
        let (add, get) = ("POST /v1/Counter/add", "GET /v1/Counter/get");
        // "me:" and the reader's token.
        let basic = "Basic bWU6d2hhdC10aGUtcmVhZGVyLWhhcy10by1zaG93";
        for (request, token, status) in [
            ("GET /healthz", None, 200),
            ("GET /readyz", None, 200),
            (get, None, 401),
            (add, None, 401),
            ("GET /metrics", None, 401),
            ("GET /", None, 401),
            ("GET /raft", None, 401),
            ("GET /openapi.json", None, 401),
            ("GET /nothing", None, 401),
            (get, Some(stranger.as_str()), 401),
            (get, Some("Basic nothing"), 401),
            (get, Some(&reader), 200),
            ("POST /v1/Counter/get", Some(&reader), 400),
            ("GET /metrics", Some(&reader), 200),
            ("GET /", Some(basic), 200),
            (add, Some(&reader), 403),
            (add, Some(&writer), 200),
        ] {
            let answer = http(&node, request, token).await?;
            let found = answer.split(' ').nth(1).unwrap_or_default().to_owned();
            assert_eq!(found, status.to_string(), "{request} {token:?}: {answer}");
            let asks = answer.contains("www-authenticate: bearer");
            assert_eq!(asks, status == 401, "{answer}");
            if status == 401 || status == 403 {
                assert!(answer.contains("application/problem+json"), "{answer}");
                assert!(answer.contains("\"outcome\":\"not_applied\""), "{answer}");
            }
        }
        let answer = http(&node, add, Some(&reader)).await?;
        assert!(answer.contains("needs the role write"), "{answer}");
        let client = node.client::<tests::Counter>();
        assert_eq!(client.get().await?, 1);
        // The program `braft` shows it as well.
        let call = async |file: &Path, method: &str| {
            let http = node
                .http_address()
                .map(|it| it.to_string())
                .unwrap_or_default();
            let mut screen = Screen::new(std::io::sink(), std::io::sink());
            let file = file.display().to_string();
            let words = ["braft", "call", "Counter", method, "{}", "--http", &http];
            let words = [&words[..], &["--token-file", &file]].concat();
            run(words.iter().map(Into::into), &mut screen).await
        };
        let shown = secrets.files.write("shown", READER)?;
        assert_eq!(call(&shown, "get").await, 0);
        let shown = secrets.files.write("shown", STRANGER)?;
        assert_eq!(call(&shown, "get").await, 1);
        logged(log, "refused over HTTP: this node does not know the token").await?;
        never_logged(log, &[JOIN, READER, WRITER, OPERATOR, STRANGER]);
        node.shutdown(std::time::Duration::from_secs(5)).await;
        Ok(())
    });
}
