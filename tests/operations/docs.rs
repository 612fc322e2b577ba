//! `docs/cli.md` shows each command with its output. They are run here, in the order of the page, and
//! compared: line by line, but for ids, numbers and the order of lines. `BRAFT_BLESS=1` writes what
//! they print now into the page.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use braft::testing::{Cluster, Down, TestNode, TestResult};
use braft::{Config, Node, StaticList};
use tests::Counter;

use crate::line::braft;

/// What stands in the page for what is different each time.
struct Scene {
    /// Page, and life.
    names: Vec<(String, String)>,
    cluster: Cluster<Counter>,
    scratch: tempfile::TempDir,
    guest: Option<Node>,
    /// Serves HTTP, and a service with events.
    called: Option<Node>,
    stopped: Option<Down>,
}

const ADDRESSES: [&str; 3] = ["10.0.0.1:15000", "10.0.0.2:15000", "10.0.0.3:15000"];
const NAMES: [&str; 3] = ["kv-1", "kv-2", "kv-3"];
const IDS: [&str; 3] = ["2c31f08a5e7d9b46", "86e0d4b7193fa5c2", "d95b72c6e04a8f13"];
const CLUSTER_ID: &str = "5b1e8c02f7d34a96b0c9e6712fd8a354";
const GUEST: &str = "10.0.0.4:15000";
/// How often, and how many times, the members are looked at until all is well with them.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const MAX_LOOKS: u32 = 200;
/// The one that is stopped and whose data is looked at.
const LAST: TestNode = TestNode(2);

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md")
}

impl Scene {
    async fn set(cluster: Cluster<Counter>) -> TestResult<Self> {
        let mut names = Vec::new();
        for place in 0..3 {
            let status = cluster.node(TestNode(place))?.status();
            names.push((IDS[place].to_owned(), status.node_id.clone()));
            names.push((NAMES[place].to_owned(), status.name.clone()));
            names.push((ADDRESSES[place].to_owned(), status.address.clone()));
            if place == 0 {
                names.push((CLUSTER_ID.to_owned(), status.cluster_id.clone()));
            }
        }
        let scratch = tempfile::tempdir()?;
        let last = cluster.data_dir(LAST);
        let at = |name: &str| scratch.path().join(name).display().to_string();
        names.push(("/var/lib/kv".to_owned(), last.display().to_string()));
        names.push(("/var/lib/new".to_owned(), at("new")));
        names.push(("kv.backup".to_owned(), at("kv.backup")));
        names.push(("kv.position".to_owned(), at("kv.position")));
        names.push(("certs/".to_owned(), at("certs/")));
        Ok(Scene {
            names,
            cluster,
            scratch,
            guest: None,
            called: None,
            stopped: None,
        })
    }

    /// Prepares what a command needs.
    async fn prepare(&mut self, command: &[&str]) -> TestResult {
        match command {
            ["add", ..] if self.guest.is_none() => {
                let config = Config::new()
                    .service::<Counter>()
                    .cluster_name("test")
                    .data_dir(self.scratch.path().join("guest"))
                    .without_http()
                    .ip("127.0.0.1".parse()?)
                    .raft_port(0)
                    .discovery(StaticList::new([]))
                    .expect_nodes(9);
                let node = braft::start(config).await?;
                self.names
                    .push((GUEST.to_owned(), node.address().to_owned()));
                self.guest = Some(node);
            }
            ["call" | "events", ..] if self.called.is_none() => {
                let data = self.scratch.path().join("called");
                self.called = Some(crate::calls::start(&data).await?);
            }
            ["log" | "recover", ..] if self.stopped.is_none() => {
                if self.cluster.leader().await? == LAST {
                    self.cluster.hand_over(TestNode(0)).await?;
                }
                self.stopped = Some(self.cluster.kill(LAST).await?);
            }
            _ => {}
        }
        Ok(())
    }

    /// What a line of the page prints, as the page would show it.
    async fn run(&mut self, line: &str) -> TestResult<String> {
        let words: Vec<_> = line.split_whitespace().collect();
        self.prepare(&words).await?;
        let words: Vec<_> = words.iter().map(|word| self.swap(word, false)).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut address = self.cluster.address(TestNode(0));
        if let (Some("call" | "events"), Some(called)) = (words.first().copied(), &self.called) {
            called.address().clone_into(&mut address);
        }
        // As a shell does.
        let unquoted = words.iter().map(|word| word.trim_matches('\''));
        let mut words: Vec<_> = unquoted.collect();
        words.extend(["--address", address.as_str(), "--timeout", "20"]);
        let printed = braft(&words).await;
        Ok(self.swap(&(printed.out + &printed.err), true))
    }

    fn swap(&self, text: &str, to_page: bool) -> String {
        self.names
            .iter()
            .fold(text.to_owned(), |text, (page, life)| {
                if to_page {
                    // In a column of a table the width stays.
                    let width = life.len();
                    let text = text.replace(&format!("{life}  "), &format!("{page:width$}  "));
                    text.replace(life.as_str(), page)
                } else {
                    text.replace(page.as_str(), life)
                }
            })
    }
}

/// The page in pieces: text, and what is between `$ braft …` and the end of its block.
enum Piece {
    Text(String),
    Output { command: String, shown: String },
}

fn pieces(page: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find("```console\n$ braft ") {
        let begin = at + "```console\n".len();
        let line = rest[begin..]
            .find('\n')
            .map_or(rest.len(), |end| begin + end + 1);
        let end = rest[line..]
            .find("```")
            .map_or(rest.len(), |end| line + end);
        pieces.push(Piece::Text(rest[..line].to_owned()));
        pieces.push(Piece::Output {
            command: rest[begin + "$ braft ".len()..line].trim().to_owned(),
            shown: rest[line..end].to_owned(),
        });
        rest = &rest[end..];
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}

/// The lines of an output without what differs each time: ids, numbers, widths of columns, order.
fn essence(text: &str) -> BTreeSet<String> {
    let word = |word: &str| {
        let word = word.trim_matches(|c| ",.:".contains(c));
        let is_id = word.len() >= 16 && word.chars().all(|c| c.is_ascii_hexdigit());
        if is_id {
            return "ID".to_owned();
        }
        let mut shown = String::new();
        for c in word.chars() {
            let c = if c.is_ascii_digit() { '0' } else { c };
            if c != '0' || !shown.ends_with('0') {
                shown.push(c);
            }
        }
        shown.replace("0,0", "0").replace("0,0", "0")
    };
    let line = |line: &str| {
        let words = line.split(|c: char| c.is_whitespace() || "();".contains(c));
        let words = words.filter(|word| !word.is_empty()).map(word);
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines()
        .map(line)
        .filter(|line| !line.is_empty())
        .collect()
}

#[braft::test(nodes = 3)]
async fn the_page_shows_what_the_commands_print(cluster: Cluster<Counter>) -> TestResult {
    let counter = cluster.client();
    for _ in 0..40 {
        counter.add(1).await??;
    }
    cluster.all_vote().await?;
    cluster
        .status_where("all members to be well", |status| {
            let well = |health: &Option<String>| health.as_deref() == Some("healthy");
            status.outlook.is_empty() && status.members.iter().all(|member| well(&member.health))
        })
        .await?;
    let text = fs::read_to_string(page())?;
    let mut scene = Scene::set(cluster).await?;
    let mut now = String::new();
    let mut differences = String::new();
    let mut commands = BTreeSet::new();
    for piece in pieces(&text) {
        match piece {
            Piece::Text(text) => now += &text,
            Piece::Output { command, shown } => {
                let mut printed = scene.run(&command).await?;
                // How the members are changes by itself: it is waited for.
                let is_view = matches!(command.as_str(), "status" | "members");
                let mut looks = if is_view { MAX_LOOKS } else { 0 };
                while essence(&printed) != essence(&shown) && looks > 0 {
                    tokio::time::sleep(LOOK_EVERY).await;
                    printed = scene.run(&command).await?;
                    looks -= 1;
                }
                if essence(&printed) != essence(&shown) {
                    differences += &format!("$ braft {command}\n{printed}\n--- shown:\n{shown}\n");
                }
                commands.extend(command.split_whitespace().next().map(str::to_owned));
                now += &printed;
            }
        }
    }
    let nodes = [scene.guest.take(), scene.called.take()];
    for node in nodes.into_iter().flatten() {
        node.shutdown(Duration::from_secs(5)).await;
    }
    let help = braft(&["--help"]).await.out;
    let known = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let known = known.take_while(|line| !line.is_empty());
    for name in known.filter_map(|line| line.split_whitespace().next()) {
        if !commands.contains(name) {
            differences += &format!("the page does not show `braft {name}`\n");
        }
    }
    if std::env::var_os("BRAFT_BLESS").is_some() {
        fs::write(page(), now)?;
    } else if !differences.is_empty() {
        return Err(format!(
            "{differences}\nrun this with BRAFT_BLESS=1, and look at it"
        ))?;
    }
    Ok(())
}
