//! The join token: who does not know it is no member, and disturbs nobody.

use std::net::TcpListener;
use std::path::Path;

use braft::cli::{Screen, run};
use braft::testing::TestResult;
use braft::{Client, Config, Node};
use tests::CounterClient;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::frames::connect;
use crate::members::{Files, Members, logged, never_logged, stop, test};
use crate::outsider::{config, until};

const TOKEN: &str = "the-secret-of-the-members";
const NEXT: &str = "the-next-of-their-secrets";
const OTHER: &str = "what-a-stranger-may-guess";

/// The exit code of an operator's command, with the join token in this file.
async fn status(at: &str, file: &Path) -> u8 {
    let mut screen = Screen::new(std::io::sink(), std::io::sink());
    let file = file.display().to_string();
    let words = ["braft", "status", "--only", "--address", at];
    let words = [&words[..], &["--join-token-file", &file]].concat();
    run(words.iter().map(Into::into), &mut screen).await
}

#[test]
fn who_does_not_know_the_join_token_becomes_no_member_and_both_sides_say_why() {
    test(async |log| {
        let files = Files::new()?;
        let token = files.write("token", TOKEN)?;
        let with = |config: Config| config.join_token_file(&token);
        let mut members = Members::start(3, |_, config| with(config)).await?;
        // A client needs none.
        let counter = CounterClient::connect(&members.addresses).await?;
        assert_eq!(counter.add(1).await??, 1);
        assert_eq!(counter.get().follower().await?, 1);

        let other = files.write("other", OTHER)?;
        let guessing = |config: Config| config.join_token_file(&other);
        let guesser = members.knock(&files.path("a"), guessing).await?;
        logged(log, "has another join token; give all nodes").await?;
        logged(log, "error=it has another join token").await?;
        let without = members.knock(&files.path("b"), |config| config).await?;
        logged(log, "the members refuse this node: no join token").await?;
        logged(log, "refused: no join token was shown").await?;
        // As long as it takes one that knows it.
        let fourth = members.knock(&files.path("c"), with).await?;
        members.has_members(4).await?;
        for outsider in [&guesser, &without] {
            let id = outsider.status().node_id;
            let status = members.nodes[0].status();
            assert!(status.members.iter().all(|member| member.id != id));
        }
        assert_eq!(counter.add(1).await??, 2);
        never_logged(log, &[TOKEN, OTHER]);
        members.nodes.extend([guesser, without, fourth]);
        members.stop().await;
        Ok(())
    });
}

#[test]
fn a_node_with_a_token_says_so_where_the_others_have_none() {
    test(async |log| {
        let files = Files::new()?;
        let token = files.write("token", TOKEN)?;
        let mut members = Members::start(1, |_, config| config).await?;
        let with = |config: Config| config.join_token_file(&token);
        let outsider = members.knock(&files.path("a"), with).await?;
        logged(log, "does not answer to a join token: it has none").await?;
        assert_eq!(members.nodes[0].status().members.len(), 1);
        members.nodes.push(outsider);
        members.stop().await;
        Ok(())
    });
}

#[test]
fn a_member_whose_token_differs_disturbs_nobody_and_is_back_with_the_right_one() {
    test(async |log| {
        let files = Files::new()?;
        let token = files.write("token", TOKEN)?;
        let other = files.write("other", OTHER)?;
        let mut members = Members::start(3, |_, config| config.join_token_file(&token)).await?;
        let counter = CounterClient::connect(&members.addresses).await?;
        assert_eq!(counter.add(1).await??, 1);
        until("a leader that all know", || async {
            let known = members.nodes.iter().all(|it| it.status().leader.is_some());
            known && members.nodes[0].status().members.iter().all(|it| it.votes)
        })
        .await?;
        let follower = members.nodes.iter();
        let follower = follower.map(|node| node.status().role).collect::<Vec<_>>();
        let follower = follower.iter().position(|role| role == "follower");
        let place = follower.ok_or("no follower")?;
        let (data, addresses) = (members.data_dir(place), members.addresses.clone());
        let restart = async |token: &Path| -> TestResult<Node> {
            let listener = TcpListener::bind(&addresses[place])?;
            let config = config(&data, listener, &addresses).join_token_file(token);
            Ok(braft::start(config).await?)
        };
        stop(members.nodes.remove(place)).await;
        let before = members.nodes[0].status();
        let differing = restart(&other).await?;
        for node in &members.nodes {
            let address = node.address();
            logged(log, &format!("{address} has another join token")).await?;
        }
        assert_eq!(counter.add(1).await??, 2);
        let id = differing.status().node_id;
        stop(differing).await;
        let after = members.nodes[0].status();
        assert_eq!((before.term, before.members.len()), (after.term, 3));
        let of = |status: &braft::Status| status.leader.as_ref().map(|leader| leader.id.clone());
        assert_eq!(of(&before), of(&after));

        let back = restart(&token).await?;
        until("it to have caught up", || async {
            let at = [back.address().to_owned()];
            let Ok(client) = CounterClient::connect(at).await else {
                return false;
            };
            client.get().local().await.is_ok_and(|total| total == 2)
        })
        .await?;
        assert_eq!(back.status().node_id, id);
        members.nodes.push(back);
        members.stop().await;
        Ok(())
    });
}

#[test]
fn nothing_of_what_members_and_operators_say_is_heard_without_the_token() {
    test(async |log| {
        let files = Files::new()?;
        let token = files.write("token", TOKEN)?;
        let members = Members::start(1, |_, config| config.join_token_file(&token)).await?;
        let at = &members.addresses[0];
        let before = members.nodes[0].status();
        for path in [
            "/braft.v1.Raft/Vote",
            "/braft.v1.Raft/PreVote",
            "/braft.v1.Raft/Append",
            "/braft.v1.Raft/Heartbeat",
            "/braft.v1.Raft/TransferLeader",
            "/braft.v1.Raft/SendSnapshot",
            "/braft.v1.Raft/FetchSnapshot",
            "/braft.v1.Raft/Propose",
            "/braft.v1.Cluster/Handshake",
            "/braft.v1.Cluster/Formation",
            "/braft.v1.Cluster/Join",
            "/braft.v1.Cluster/Remove",
            "/braft.v1.Cluster/Status",
            "/braft.admin.v1.Admin/Remove",
            "/braft.admin.v1.Admin/Backup",
            "/braft.admin.v1.Admin/Status",
        ] {
            let mut grpc = tonic::client::Grpc::new(connect(at).await?);
            grpc.ready().await?;
            let codec: ProstCodec<(), ()> = ProstCodec::default();
            let path = PathAndQuery::from_static(path);
            let refused = grpc.unary(Request::new(()), path.clone(), codec).await;
            let code = refused.map_err(|status| status.code()).err();
            assert_eq!(code, Some(Code::Unauthenticated), "{path}");
        }
        logged(log, "an operator's call was refused").await?;
        // The operator may know it.
        let other = files.write("other", OTHER)?;
        assert_eq!(status(at, &other).await, 3);
        assert_eq!(status(at, &token).await, 0);
        logged(
            log,
            "an operator's call call=\"/braft.admin.v1.Admin/Status\"",
        )
        .await?;
        assert_eq!(members.nodes[0].status().term, before.term);
        members.stop().await;
        Ok(())
    });
}

#[test]
fn the_join_token_changes_file_by_file_without_a_restart() {
    test(async |log| {
        let files = Files::new()?;
        let path = files.write("first", TOKEN)?;
        let mut members = Members::start(1, |_, config| config.join_token_file(&path)).await?;
        let path = files.write("second", TOKEN)?;
        let with = |config: Config| config.join_token_file(&path);
        let second = members.knock(&files.path("a"), with).await?;
        members.has_members(2).await?;
        let both = [TOKEN, NEXT].join("\n");
        let turned = [NEXT, TOKEN].join("\n");
        let own = files.write("own", TOKEN)?;
        for (step, text) in [both.as_str(), &turned, NEXT].into_iter().enumerate() {
            for file in ["first", "second"] {
                files.write(file, text)?;
            }
            // A file is looked at when somebody comes with a token.
            until("the files to be read again", || async {
                for node in [&members.nodes[0], &second] {
                    status(node.address(), &own).await;
                }
                log.lines("tokens were read again").len() == 2 * (step + 1)
            })
            .await?;
        }
        // One that knows the new one alone is let in, and one that knows the old one is not.
        let path = files.write("third", NEXT)?;
        let with = |config: Config| config.join_token_file(&path);
        let third = members.knock(&files.path("b"), with).await?;
        members.has_members(3).await?;
        let path = files.write("late", TOKEN)?;
        let with = |config: Config| config.join_token_file(&path);
        let refused = format!("{} has another join token", members.addresses[0]);
        let before = log.lines(&refused).len();
        let late = members.knock(&files.path("c"), with).await?;
        until("it to be refused", || async {
            log.lines(&refused).len() > before
        })
        .await?;
        assert_eq!(members.nodes[0].status().members.len(), 3);
        never_logged(log, &[TOKEN, NEXT]);
        members.nodes.extend([second, third, late]);
        members.stop().await;
        Ok(())
    });
}

#[test]
fn a_token_that_cannot_be_used_is_refused_at_the_start() {
    test(async |_| {
        let files = Files::new()?;
        for (text, said) in [("short", "16 to 512 characters"), ("", "no join token")] {
            let token = files.write("token", text)?;
            let (data, listener) = (files.path("data"), crate::outsider::listener());
            let config = config(&data, listener, &["127.0.0.1:1".to_owned()]);
            let started = braft::start(config.join_token_file(&token)).await;
            let why = crate::outsider::refusal(started)?;
            assert!(why.contains(said) && why.contains("token"), "{why}");
        }
        Ok(())
    });
}
