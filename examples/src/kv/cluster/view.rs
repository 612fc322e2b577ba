//! How the nodes are at one moment.

use futures_util::future::join_all;
use serde::Deserialize;

use super::plan::Member;
use super::probe;

/// What the nodes say of themselves.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    /// For each node, whether it serves; else why not.
    pub(super) nodes: Vec<Result<(), String>>,
    /// The leader's raft address, as the first node that serves has it.
    pub(super) leader: Option<String>,
}

/// The part of `GET /raft` that is shown.
#[derive(Deserialize)]
struct Raft {
    #[serde(rename = "leaderAddr")]
    leader_address: Option<String>,
}

impl View {
    /// Asks all nodes at once.
    pub(super) async fn take(members: &[&Member]) -> Self {
        let asked = members.iter().map(|member| readiness(member.http_port));
        let nodes = join_all(asked).await;
        let serving = nodes.iter().position(Result::is_ok);
        let leader = match serving {
            Some(index) => leader(members[index].http_port).await,
            None => None,
        };
        View { nodes, leader }
    }

    /// Whether every node serves, and the leader is known.
    pub(super) fn ready(&self) -> bool {
        self.leader.is_some() && self.nodes.iter().all(Result::is_ok)
    }

    /// How many nodes serve.
    pub(super) fn serving(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_ok()).count()
    }

    /// One line: how many serve, who leads, or what is missing.
    pub(super) fn line(&self) -> String {
        let count = format!("{} of {} nodes ready", self.serving(), self.nodes.len());
        let missing = self.nodes.iter().find_map(|node| node.as_ref().err());
        match (&self.leader, missing) {
            (Some(leader), None) => format!("{count}, {leader} leads"),
            (Some(leader), Some(why)) => format!("{count}, {leader} leads ({why})"),
            (None, Some(why)) => format!("{count} ({why})"),
            (None, None) => format!("{count}, no leader"),
        }
    }
}

async fn readiness(http_port: u16) -> Result<(), String> {
    match probe::get(http_port, "/readyz").await {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!("{http_port}: {}", why(&answer.body))),
        Err(error) => Err(format!("{http_port}: {error}")),
    }
}

/// The reason in the answer of a node that does not serve.
fn why(body: &str) -> String {
    #[derive(Deserialize)]
    struct Unready {
        why: String,
    }
    match serde_json::from_str::<Unready>(body) {
        Ok(unready) => unready.why,
        Err(_) => body.trim().to_owned(),
    }
}

async fn leader(http_port: u16) -> Option<String> {
    let answer = probe::get(http_port, "/raft").await.ok()?;
    let raft: Raft = serde_json::from_str(&answer.body).ok()?;
    raft.leader_address.filter(|address| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_taken_from_the_answer() {
        assert_eq!(why(r#"{"ready":false,"why":"no leader"}"#), "no leader");
        assert_eq!(why("gone\n"), "gone");
    }

    #[test]
    fn the_line_says_what_is_missing() {
        let leader = Some("127.0.0.1:15000".to_owned());
        let view = |nodes: &[Result<(), &str>], leader| View {
            nodes: nodes
                .iter()
                .map(|node| node.map_err(str::to_owned))
                .collect(),
            leader,
        };
        let all = view(&[Ok(()), Ok(())], leader.clone());
        assert_eq!(all.line(), "2 of 2 nodes ready, 127.0.0.1:15000 leads");
        assert!(all.ready());
        let one = view(&[Ok(()), Err("16002: joining")], leader);
        assert_eq!(
            one.line(),
            "1 of 2 nodes ready, 127.0.0.1:15000 leads (16002: joining)"
        );
        assert!(!one.ready());
        let none = view(&[Err("15002: connection refused")], None);
        assert_eq!(
            none.line(),
            "0 of 1 nodes ready (15002: connection refused)"
        );
    }
}
