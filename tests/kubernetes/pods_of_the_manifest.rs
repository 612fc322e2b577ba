//! Processes with the environment that the manifest gives a pod.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use braft::Client as _;
use braft::testing::TestResult;
use tempfile::TempDir;
use tests::LedgerClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::manifest;
use crate::objects::slice;
use crate::stand_in::StandIn;

/// After this time a test has failed; far above what any needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pods of the StatefulSet, each with an address of its own and the volume of its number.
struct Pods {
    running: Vec<Child>,
    volumes: TempDir,
}

impl Pods {
    fn start(addresses: &[Ipv4Addr], stand_in: &StandIn) -> TestResult<Self> {
        let mut pods = Self {
            running: Vec::new(),
            volumes: tempfile::tempdir()?,
        };
        pods.run(addresses, &stand_in.kubeconfig())?;
        Ok(pods)
    }

    /// Starts them all, on what their volumes hold.
    fn run(&mut self, addresses: &[Ipv4Addr], kubeconfig: &Path) -> TestResult {
        for (index, address) in addresses.iter().enumerate() {
            let volume = self.volumes.path().join(index.to_string());
            let log = File::options()
                .create(true)
                .append(true)
                .open(volume.with_extension("log"))?;
            let mut node = Command::new(env!("CARGO_BIN_EXE_node"));
            node.envs(manifest::variables())
                .env("BRAFT_NAME", format!("kv-{index}"))
                .env("BRAFT_IP", address.to_string())
                .env("BRAFT_DATA_DIR", volume)
                .env("KUBECONFIG", kubeconfig)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log);
            self.running.push(node.spawn()?);
        }
        Ok(())
    }

    /// Kills them all; the volumes stay.
    fn kill(&mut self) {
        for mut process in self.running.drain(..) {
            // An error means that it has ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Waits until the readiness probe of each is content.
    async fn ready(&self, addresses: &[Ipv4Addr]) {
        for (index, address) in addresses.iter().enumerate() {
            let probing = async {
                while probe(*address).await.is_none() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let waited = tokio::time::timeout(PATIENCE, probing).await;
            let log = self.volumes.path().join(format!("{index}.log"));
            let log = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(waited.is_ok(), "kv-{index} is not ready:\n{}", log());
        }
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the kubelet does.
async fn probe(address: Ipv4Addr) -> Option<()> {
    let (port, path) = manifest::readiness();
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect((address, port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: kv\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    tokio::time::timeout(Duration::from_secs(2), asked)
        .await
        .ok()?
}

/// Loopback addresses that no other test has: by process, and below by turn.
fn addresses(turn: u8) -> [Ipv4Addr; 3] {
    let [low, high, ..] = std::process::id().to_le_bytes();
    [1, 2, 3].map(|last| Ipv4Addr::new(127, high.clamp(1, 254), low, 200 + turn * 3 + last))
}

fn publish(stand_in: &StandIn, addresses: &[Ipv4Addr]) {
    let addresses: Vec<_> = addresses.iter().map(Ipv4Addr::to_string).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    stand_in.put(slice("kv-1", "kv", &addresses));
}

async fn client(addresses: &[Ipv4Addr]) -> TestResult<LedgerClient> {
    let nodes = addresses.iter().map(|address| format!("{address}:15000"));
    Ok(LedgerClient::connect(nodes).await?)
}

async fn return_with_other_addresses() -> TestResult {
    let stand_in = StandIn::start().await;
    let first @ [a, b, c] = addresses(0);
    let mut pods = Pods::start(&first, &stand_in)?;
    publish(&stand_in, &first);
    pods.ready(&first).await;
    assert_eq!(client(&first).await?.record(1, "").await?, 1);

    // All at once: each under an address that was another's, then under one that was nobody's.
    for (round, now) in [[c, a, b], addresses(1)].into_iter().enumerate() {
        pods.kill();
        publish(&stand_in, &now);
        pods.run(&now, &stand_in.kubeconfig())?;
        pods.ready(&now).await;
        let ledger = client(&now).await?;
        assert_eq!(ledger.count().await?, 1);
        assert_eq!(ledger.record(1, "").await?, u32::try_from(round)? + 2);
    }
    Ok(())
}

#[tokio::test]
async fn pods_of_the_manifest_form_a_cluster_and_keep_it_when_all_return_with_other_addresses() {
    let run = return_with_other_addresses();
    run.await.unwrap_or_else(|error| panic!("{error}"));
}
