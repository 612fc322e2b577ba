//! Certificates made by the command line, and nodes that use them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use braft::testing::TestResult;
use braft::{Client, Config, Node, PeerAddress, StaticList, Tls};
use tests::{Counter, CounterClient};

use crate::line::{braft, check, json};

/// The files of a name in a directory.
fn tls(dir: &Path, name: &str) -> Tls {
    Tls::new(
        dir.join(format!("{name}.pem")),
        dir.join(format!("{name}-key.pem")),
        dir.join("ca.pem"),
    )
}

async fn start(dir: &Path, name: &str, peers: &[&str]) -> TestResult<Node> {
    let peers = peers.iter().map(|peer| peer.parse::<PeerAddress>());
    let peers = peers.collect::<Result<Vec<_>, _>>()?;
    let config = Config::new()
        .service::<Counter>()
        .cluster_name("certs")
        .data_dir(dir.join(format!("{name}-data")))
        .ip("127.0.0.1".parse()?)
        .raft_port(0)
        .without_http()
        .expect_nodes(1 + peers.len())
        .discovery(StaticList::new(peers))
        .segment_bytes(2 << 20)
        .tls(tls(dir, name).client_authority(dir.join("client-ca.pem")));
    Ok(braft::start(config).await?)
}

#[tokio::test]
async fn what_it_makes_is_a_cluster_and_its_clients_and_more_may_come() {
    check(cluster_of_its_own()).await;
}

async fn cluster_of_its_own() -> TestResult {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path().join("certs");
    let at = dir.display().to_string();
    let more = ["--host", "localhost", "--host", "127.0.0.1", "--dir", &at];
    let made = json(&[&["certs", "node-1"], &more[..]].concat()).await?;
    assert_eq!(made["files"].as_array().map(Vec::len), Some(8), "{made}");
    let variables = &made["settings"][0]["variables"];
    assert_eq!(variables["BRAFT_TLS_CERT"], format!("{at}/node-1.pem"));
    assert_eq!(
        variables["BRAFT_TLS_CLIENT_CA"],
        format!("{at}/client-ca.pem")
    );
    assert_eq!(made["settings"][1]["name"], "client");
    for entry in fs::read_dir(&dir)? {
        let entry = entry?;
        let is_key = entry.file_name().to_string_lossy().ends_with("-key.pem");
        let mode = entry.metadata()?.permissions().mode() & 0o777;
        assert_eq!(mode == 0o600, is_key, "{entry:?} has {mode:o}");
    }

    let first = start(&dir, "node-1", &[]).await?;
    first.ready().await;
    let client = tls(&dir, "client");
    let counter = CounterClient::connect_over_tls([first.address()], client).await?;
    assert_eq!(counter.add(1).await??, 1);
    // A client is no operator; a node may be one.
    let snapshot = async |name: &str| {
        let path = |name: String| dir.join(name).display().to_string();
        let (certificate, key) = (path(format!("{name}.pem")), path(format!("{name}-key.pem")));
        let authority = path("ca.pem".to_owned());
        let words = ["snapshot", "--address", first.address()];
        let files = [
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
            "--tls-ca",
            &authority,
        ];
        braft(&[&words[..], &files[..]].concat()).await.code
    };
    assert_eq!(snapshot("client").await, 1);
    assert_eq!(snapshot("node-1").await, 0);

    // Another node, later, of the same authority.
    let made = json(&[&["certs", "node-2", "--days", "2"], &more[..]].concat()).await?;
    assert_eq!(made["files"].as_array().map(Vec::len), Some(2), "{made}");
    let second = start(&dir, "node-2", &[first.address()]).await?;
    let joined = async {
        while first.status().members.len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), joined).await?;
    for node in [first, second] {
        node.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn no_file_is_written_over_and_what_is_wrong_is_named() {
    check(refusals()).await;
}

async fn refusals() -> TestResult {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    let at = dir.display().to_string();
    let certs = async |words: &[&str]| braft(&[&["certs", "--dir", &at], words].concat()).await;
    certs(&["a"]).await.done()?;
    let before = fs::read(dir.join("a.pem"))?;
    certs(&["b", "a"])
        .await
        .failed(1, &["a.pem", "is there already"])?;
    certs(&["--client", "client"])
        .await
        .failed(1, &["client"])?;
    assert_eq!(fs::read(dir.join("a.pem"))?, before);
    // Nothing was made of what was asked for along with it.
    assert!(!dir.join("b.pem").exists());
    certs(&["ca"]).await.failed(1, &["choose another name"])?;
    certs(&["../x"]).await.failed(1, &["cannot be a name"])?;
    certs(&["c", "c"]).await.failed(1, &["named twice"])?;
    certs(&["c", "--host", "not a host"])
        .await
        .failed(1, &["neither a host name"])?;
    certs(&["c", "--days", "0"]).await.failed(2, &["--days"])?;
    certs(&[]).await.failed(1, &["name the nodes"])?;
    // An authority whose key is elsewhere, or another's, signs nothing.
    fs::rename(dir.join("ca-key.pem"), dir.join("kept"))?;
    certs(&["c"])
        .await
        .failed(1, &["ca-key.pem cannot be read"])?;
    fs::copy(dir.join("a-key.pem"), dir.join("ca-key.pem"))?;
    certs(&["c"]).await.failed(1, &["do not belong together"])?;
    assert!(!dir.join("c.pem").exists());
    Ok(())
}
