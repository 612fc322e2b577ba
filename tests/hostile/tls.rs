//! Certificates: who is let in, and who is told why not.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use braft::cli::{Screen, run};
use braft::testing::TestResult;
use braft::{Client, Config, Node, PeerAddress, StaticList, Tls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tests::{Counter, CounterClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::members::{logged, test as logged_test};
use crate::outsider::{listener, until};

fn file(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile/certificates");
    directory.join(name)
}

/// The certificate of that name, for those who trust the members' authority.
fn tls(name: &str) -> Tls {
    Tls::new(
        file(&format!("{name}.pem")),
        file(&format!("{name}-key.pem")),
        file("members.pem"),
    )
}

fn for_nodes() -> Tls {
    tls("node").client_authority(file("clients.pem"))
}

struct Nodes {
    nodes: Vec<Node>,
    data: tempfile::TempDir,
}

impl Nodes {
    /// So many nodes with these certificates, which are a cluster.
    async fn start(count: usize, tls: impl Fn(usize) -> Tls) -> TestResult<Self> {
        let mut nodes = Nodes {
            nodes: Vec::new(),
            data: tempfile::tempdir()?,
        };
        let listeners: Vec<_> = (0..count).map(|_| listener()).collect();
        let addresses = listeners
            .iter()
            .map(|it| it.local_addr().map(|it| it.to_string()));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        for (place, listener) in listeners.into_iter().enumerate() {
            let config = nodes.config(place, listener, &addresses)?.tls(tls(place));
            nodes.nodes.push(braft::start(config).await?);
        }
        for node in &nodes.nodes {
            node.ready().await;
        }
        Ok(nodes)
    }

    fn config(
        &self,
        place: usize,
        listener: std::net::TcpListener,
        peers: &[String],
    ) -> TestResult<Config> {
        let own: PeerAddress = listener.local_addr()?.to_string().parse()?;
        Ok(Config::new()
            .service::<Counter>()
            .cluster_name("tls")
            .data_dir(self.data.path().join(place.to_string()))
            .ip(Ipv4Addr::LOCALHOST.into())
            .listener(listener)
            .http_port(0)
            .discovery(StaticList::parse(&peers.join(","), &own)?)
            .expect_nodes(peers.len())
            .segment_bytes(2 << 20))
    }

    fn addresses(&self) -> Vec<String> {
        let addresses = self.nodes.iter().map(|node| node.address().to_owned());
        addresses.collect()
    }

    async fn stop(self) {
        for node in self.nodes {
            node.shutdown(Duration::from_secs(5)).await;
        }
    }
}

fn refused(connected: Result<CounterClient, braft::Error>, words: &str) -> TestResult {
    let error = connected.err().ok_or("it was let in")?.to_string();
    let is_said = error.to_lowercase().contains(words);
    assert!(is_said, "{words:?} is missing in: {error}");
    Ok(())
}

/// Runs a test that starts its own nodes.
fn test(test: impl Future<Output = TestResult>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let Err(error) = runtime.block_on(test) {
        panic!("{error}");
    }
}

#[test]
fn who_has_no_certificate_of_the_authorities_is_refused_and_told_why() {
    test(async {
        let nodes = Nodes::start(3, |_| for_nodes()).await?;
        let at = nodes.addresses();
        let counter = CounterClient::connect_over_tls(&at, tls("client")).await?;
        assert_eq!(counter.add(1).await??, 1);
        assert_eq!(counter.get().follower().await?, 1);

        let connect = |name| CounterClient::connect_over_tls(&at, tls(name));
        // A node is looked at as well: these trust another authority than its own.
        let (certificate, key) = (file("client.pem"), file("client-key.pem"));
        let misled = Tls::new(certificate, key, file("strangers.pem"));
        // Each is tried for as long as a client tries.
        let (stranger, expired, plain, misled) = tokio::join!(
            connect("stranger"),
            connect("expired"),
            CounterClient::connect(&at),
            CounterClient::connect_over_tls(&at, misled),
        );
        refused(stranger, "unknownca")?;
        refused(expired, "expired")?;
        refused(plain, "no node answered")?;
        refused(misled, "unknownissuer")?;
        assert_eq!(counter.add(1).await??, 2);
        nodes.stop().await;
        Ok(())
    });
}

#[test]
fn the_certificate_of_a_client_is_good_for_calls_alone() {
    test(async {
        let nodes = Nodes::start(1, |_| for_nodes()).await?;
        let at = nodes.addresses();
        let admin = async |name: &str| {
            let mut screen = Screen::new(std::io::sink(), std::io::sink());
            let files = tls_arguments(name);
            let words = ["braft", "snapshot", "--address", &at[0], "--timeout", "5"];
            let words = words.iter().map(|word| (*word).into());
            run(words.chain(files.iter().map(Into::into)), &mut screen).await
        };
        assert_eq!(admin("renewed").await, 0);
        assert_eq!(admin("client").await, 1);
        assert_ne!(admin("stranger").await, 0);

        // It becomes no member either.
        let outsider = listener();
        let own = outsider.local_addr()?.to_string();
        let peers = [own, at[0].clone()];
        let config = nodes.config(1, outsider, &peers)?.tls(tls("client"));
        let outsider = braft::start(config).await?;
        let node = &nodes.nodes[0];
        // As long as it takes a member's certificate, and a second try.
        let (last, peers) = (listener(), [at[0].clone()]);
        let own = last.local_addr()?.to_string();
        let peers = [&[own][..], &peers].concat();
        let config = nodes.config(2, last, &peers)?.tls(tls("renewed"));
        let member = braft::start(config).await?;
        until("the node with a member's certificate to join", || async {
            node.status().members.len() == 2
        })
        .await?;
        let id = outsider.status().node_id;
        assert!(node.status().members.iter().all(|member| member.id != id));
        for node in [outsider, member] {
            node.shutdown(Duration::from_secs(5)).await;
        }
        nodes.stop().await;
        Ok(())
    });
}

#[test]
fn what_is_written_down_of_operators_names_their_certificates() {
    logged_test(async |log| {
        let nodes = Nodes::start(1, |_| for_nodes()).await?;
        let at = nodes.addresses();
        for (name, code) in [("renewed", 0), ("client", 1)] {
            let mut screen = Screen::new(std::io::sink(), std::io::sink());
            let files = tls_arguments(name);
            let words = ["braft", "snapshot", "--address", &at[0], "--timeout", "5"];
            let words = words.iter().map(|word| (*word).into());
            let words = words.chain(files.iter().map(Into::into));
            assert_eq!(run(words, &mut screen).await, code, "{name}");
            let named = format!("certificate=\"{name}\"");
            logged(log, &named).await?;
            for line in log.lines(&named) {
                let is_refused = line.contains("an operator's call was refused");
                assert_eq!(is_refused, code != 0, "{line}");
                assert!(line.contains("braft::audit"), "{line}");
            }
        }
        assert_eq!(log.lines("plain text"), Vec::<String>::new());
        nodes.stop().await;
        Ok(())
    });
}

fn tls_arguments(name: &str) -> Vec<String> {
    let path = |name: &str| file(name).display().to_string();
    let [certificate, key] = [format!("{name}.pem"), format!("{name}-key.pem")];
    let words = ["--tls-cert", &path(&certificate), "--tls-key", &path(&key)];
    let words = words.into_iter().map(str::to_owned);
    words
        .chain(["--tls-ca".to_owned(), path("members.pem")])
        .collect()
}

#[test]
fn http_takes_those_with_a_certificate_and_the_probes() {
    test(async {
        let nodes = Nodes::start(1, |_| for_nodes()).await?;
        let call = async |files: Vec<String>| {
            let mut screen = Screen::new(std::io::sink(), std::io::sink());
            let http = nodes.nodes[0].http_address().map(|it| it.to_string());
            let http = http.unwrap_or_default();
            let words = [
                "braft",
                "call",
                "Counter",
                "get",
                "--http",
                &http,
                "--timeout",
                "2",
            ];
            let words = words.iter().map(|word| (*word).into());
            run(words.chain(files.iter().map(Into::into)), &mut screen).await
        };
        assert_eq!(call(tls_arguments("client")).await, 0);
        assert_ne!(call(tls_arguments("stranger")).await, 0);
        assert_ne!(call(Vec::new()).await, 0);
        // Probes have none.
        let http = nodes.nodes[0].http_address().ok_or("no HTTP")?;
        assert_eq!(anonymous(http, "/healthz").await?, 200);
        assert_eq!(anonymous(http, "/raft").await?, 403);
        assert_eq!(anonymous(http, "/v1/Counter/get").await?, 403);
        nodes.stop().await;
        Ok(())
    });
}

type Secured = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

/// A connection to an HTTP port, without a certificate of one's own.
async fn connect(address: std::net::SocketAddr) -> TestResult<Secured> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("members.pem"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(address).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Ok(connector.connect("localhost".try_into()?, stream).await?)
}

/// Whether the node shows this certificate.
async fn shows(node: &Node, name: &str) -> TestResult<bool> {
    let stream = connect(node.http_address().ok_or("no HTTP")?).await?;
    let shown = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let wanted = CertificateDer::from_pem_file(file(&format!("{name}.pem")))?;
    Ok(shown == Some(&wanted))
}

/// The status of a request without a certificate.
async fn anonymous(address: std::net::SocketAddr, path: &str) -> TestResult<u16> {
    let mut stream = connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // It may end without a farewell.
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .split(' ')
        .nth(1)
        .ok_or(format!("no answer: {answer:?}"))?;
    Ok(status.parse()?)
}

#[test]
fn certificates_change_under_load_and_no_call_fails() {
    test(async {
        let files = tempfile::tempdir()?;
        let copy = |name: &str| -> TestResult {
            for (from, to) in [("", "own.pem"), ("-key", "own-key.pem")] {
                let temporary = files.path().join("new");
                fs::copy(file(&format!("{name}{from}.pem")), &temporary)?;
                fs::rename(&temporary, files.path().join(to))?;
            }
            Ok(())
        };
        let own = || {
            let own = |name| files.path().join(name);
            Tls::new(own("own.pem"), own("own-key.pem"), file("members.pem"))
        };
        let certificate = |place| if place == 2 { own() } else { tls("node") };
        let mut nodes = Nodes {
            nodes: Vec::new(),
            data: tempfile::tempdir()?,
        };
        let listeners: Vec<_> = (0..3).map(|_| listener()).collect();
        let addresses = listeners
            .iter()
            .map(|it| it.local_addr().map(|it| it.to_string()));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        copy("node")?;
        for (place, listener) in listeners.into_iter().enumerate() {
            let config = nodes
                .config(place, listener, &addresses)?
                .tls(certificate(place));
            nodes.nodes.push(braft::start(config).await?);
        }
        for node in &nodes.nodes {
            node.ready().await;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let calls = Arc::new(AtomicU64::new(0));
        let load = {
            let (stop, calls, at) = (stop.clone(), calls.clone(), addresses.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // Each over connections of its own.
                    let counter = CounterClient::connect_over_tls(&at, tls("renewed")).await?;
                    counter.add(1).await??;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, braft::testing::TestError>(())
            })
        };
        let third = [addresses[2].clone()];
        for name in ["renewed", "node"] {
            copy(name)?;
            until("the new certificate to be shown", || async {
                shows(&nodes.nodes[2], name).await.unwrap_or(false)
            })
            .await?;
            let before = calls.load(Ordering::Relaxed);
            until("calls with the new certificate", || async {
                calls.load(Ordering::Relaxed) > before + 20
            })
            .await?;
        }
        // What is read anew is what counts: with this one nobody connects any more.
        stop.store(true, Ordering::Relaxed);
        load.await??;
        copy("expired")?;
        until("the expired certificate to be noticed", || async {
            let connected = CounterClient::connect_over_tls(&third, tls("renewed")).await;
            connected.is_err_and(|error| error.to_string().contains("expired"))
        })
        .await?;
        copy("renewed")?;
        until("the node to be reached again", || async {
            CounterClient::connect_over_tls(&third, tls("renewed"))
                .await
                .is_ok()
        })
        .await?;
        nodes.stop().await;
        Ok(())
    });
}

#[test]
fn files_that_cannot_be_used_are_named_when_the_node_starts() {
    test(async {
        let data = tempfile::tempdir()?;
        let nodes = Nodes {
            nodes: Vec::new(),
            data,
        };
        let cases = [
            (
                Tls::new(file("no.pem"), file("node-key.pem"), file("members.pem")),
                "no.pem",
            ),
            (tls("node").client_authority(file("make.sh")), "make.sh"),
            (
                Tls::new(
                    file("node.pem"),
                    file("client-key.pem"),
                    file("members.pem"),
                ),
                "client-key.pem",
            ),
        ];
        for (tls, name) in cases {
            let listener = listener();
            let own = [listener.local_addr()?.to_string()];
            let config = nodes.config(0, listener, &own)?.tls(tls);
            let error = braft::start(config).await.err().ok_or("it started")?;
            assert!(error.to_string().contains(name), "{name}: {error}");
        }
        Ok(())
    });
}
