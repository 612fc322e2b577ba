//! Hosts that are cut off, wholly or one way.

use braft::testing::TestResult;
use tests::netns::Family;

use crate::cluster::{Cluster, on_lan};

/// A write that is tried where it cannot succeed.
const NEVER: u64 = u64::MAX;

/// Three hosts with a node each that are one cluster; its id.
fn formed(cluster: &mut Cluster, more: &[(&str, &str)]) -> TestResult<([usize; 3], String)> {
    let mut settings = vec![("BRAFT_DISCOVERY", "mdns"), ("BRAFT_EXPECT", "3")];
    settings.extend(more);
    let mut nodes = [0; 3];
    for (host, node) in nodes.iter_mut().enumerate() {
        *node = cluster.start(host, &settings)?;
    }
    let id = cluster.one_cluster(&nodes)?;
    Ok((nodes, id))
}

fn others(nodes: [usize; 3], without: usize) -> Vec<usize> {
    nodes.into_iter().filter(|node| *node != without).collect()
}

#[test]
fn a_minority_never_elects_and_never_wipes_and_catches_up_when_it_is_back() {
    on_lan(3, Family::V4, |cluster| {
        let (nodes, id) = formed(cluster, &[])?;
        let old = cluster.leader_among(&nodes)?;
        cluster.record(old, 1)?;
        let identity = std::fs::read(cluster.data_dir(old).join("node"))?;

        cluster.lan.cut(old)?;
        let rest = others(nodes, old);
        let new = cluster.leader_among(&rest)?;
        cluster.record(new, 2)?;
        // The majority goes on; the one that is alone serves nobody and has gone nowhere.
        assert!(!cluster.serves(old, NEVER));
        let term = cluster.view(new).ok_or("no answer")?.term;
        let alone = cluster.view(old).ok_or("no answer")?;
        assert!(alone.term < term, "{alone:?}");
        assert_eq!((alone.cluster_id.as_str(), alone.members), (id.as_str(), 3));
        // Not even a restart makes it something else.
        cluster.kill(old)?;
        cluster.restart(old)?;
        let alone = cluster.wait("the node to be up again", || cluster.view(old))?;
        assert_eq!(alone.cluster_id, id);
        assert!(!cluster.serves(old, NEVER));
        let alone = cluster.view(old).ok_or("no answer")?;
        assert!(!alone.leads && alone.term < term, "{alone:?}");
        assert_eq!(std::fs::read(cluster.data_dir(old).join("node"))?, identity);
        cluster.record(new, 3)?;

        cluster.lan.heal(old)?;
        cluster.has_all(old, &[1, 2, 3])?;
        assert_eq!(cluster.one_cluster(&nodes)?, id);
        // What was refused was not done in secret.
        cluster.record(old, NEVER)
    });
}

#[test]
fn nodes_that_are_all_alone_elect_nobody_and_go_on_once_they_meet() {
    on_lan(3, Family::V4, |cluster| {
        let (nodes, id) = formed(cluster, &[])?;
        let leader = cluster.leader_among(&nodes)?;
        cluster.record(leader, 1)?;
        let term = cluster.view(leader).ok_or("no answer")?.term;
        nodes
            .into_iter()
            .try_for_each(|node| cluster.lan.cut(node))?;
        for node in nodes {
            // Trying takes many times as long as it takes to campaign.
            assert!(!cluster.serves(node, NEVER));
            let view = cluster.view(node).ok_or("no answer")?;
            // The one that led still calls itself so; nobody else does, and no term began.
            assert!(!view.leads || node == leader, "{view:?}");
            assert_eq!((view.term, view.cluster_id), (term, id.clone()));
        }
        nodes
            .into_iter()
            .try_for_each(|node| cluster.lan.heal(node))?;
        let leader = cluster.leader_among(&nodes)?;
        cluster.record(leader, 2)?;
        for node in nodes {
            cluster.has_all(node, &[1, 2])?;
        }
        assert_eq!(cluster.one_cluster(&nodes)?, id);
        Ok(())
    });
}

#[test]
fn one_way_cuts_heal() {
    on_lan(3, Family::V4, |cluster| {
        let (nodes, id) = formed(cluster, &[])?;
        let mut recorded = Vec::new();
        let mut record = |cluster: &Cluster| -> TestResult {
            let id = recorded.len() as u64;
            recorded.push(id);
            cluster.record(cluster.leader_among(&nodes)?, id)
        };
        for to_leader in [false, true] {
            let leader = cluster.leader_among(&nodes)?;
            let follower = others(nodes, leader)[0];
            let (from, to) = match to_leader {
                true => (follower, leader),
                false => (leader, follower),
            };
            cluster.lan.cut_one_way(from, to)?;
            record(cluster)?;
            record(cluster)?;
            cluster.lan.heal_one_way(from, to)?;
            record(cluster)?;
        }
        // Deaf to both others: what it sends arrives, but it hears no answer.
        let leader = cluster.leader_among(&nodes)?;
        let rest = others(nodes, leader);
        rest.iter()
            .try_for_each(|from| cluster.lan.cut_one_way(*from, leader))?;
        let new = cluster.leader_among(&rest)?;
        let id_alone = 1_000;
        cluster.record(new, id_alone)?;
        rest.iter()
            .try_for_each(|from| cluster.lan.heal_one_way(*from, leader))?;
        record(cluster)?;
        recorded.push(id_alone);
        for node in nodes {
            cluster.has_all(node, &recorded)?;
        }
        assert_eq!(cluster.one_cluster(&nodes)?, id);
        Ok(())
    });
}

#[test]
fn a_host_that_is_cut_off_for_long_is_removed_and_a_member_again_when_it_is_back() {
    on_lan(3, Family::V4, |cluster| {
        let (nodes, id) = formed(cluster, &[("BRAFT_DEAD_AFTER_MS", "3000")])?;
        let leader = cluster.leader_among(&nodes)?;
        let lost = others(nodes, leader)[0];
        cluster.record(leader, 1)?;
        cluster.lan.cut(lost)?;
        let rest = others(nodes, lost);
        assert_eq!(cluster.one_cluster(&rest)?, id);
        cluster.record(cluster.leader_among(&rest)?, 2)?;
        // It does not know, and is where it was.
        let alone = cluster.view(lost).ok_or("no answer")?;
        assert_eq!((alone.cluster_id, alone.members), (id.clone(), 3));

        cluster.lan.heal(lost)?;
        assert_eq!(cluster.one_cluster(&nodes)?, id);
        cluster.has_all(lost, &[1, 2])?;
        // It votes: with it, one of the others can be done without.
        cluster.wait("the lost host's node to vote again", || {
            let leader = cluster.leader_among(&nodes).ok()?;
            (cluster.view(leader)?.voters == 3).then_some(())
        })
    });
}
