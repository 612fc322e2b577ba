//! Nodes that nobody told where the others are.

use tests::netns::Family;

use crate::cluster::on_lan;

const MDNS: (&str, &str) = ("BRAFT_DISCOVERY", "mdns");

#[test]
fn hosts_of_one_network_find_each_other_and_a_newcomer_by_mdns() {
    on_lan(4, Family::V4, |cluster| {
        let settings = [MDNS, ("BRAFT_EXPECT", "3")];
        let mut nodes = Vec::new();
        for host in 0..3 {
            nodes.push(cluster.start(host, &settings)?);
        }
        let formed = cluster.one_cluster(&nodes)?;
        cluster.record(cluster.leader_among(&nodes)?, 1)?;
        // The same line for scale-out.
        nodes.push(cluster.start(3, &settings)?);
        assert_eq!(cluster.one_cluster(&nodes)?, formed);
        cluster.has_all(nodes[3], &[1])
    });
}

#[test]
fn hosts_find_each_other_where_there_is_ipv6_alone() {
    on_lan(3, Family::V6, |cluster| {
        let settings = [MDNS, ("BRAFT_EXPECT", "3")];
        let mut nodes = Vec::new();
        for host in 0..3 {
            nodes.push(cluster.start(host, &settings)?);
        }
        cluster.one_cluster(&nodes)?;
        cluster.record(nodes[0], 1)
    });
}

#[test]
fn clusters_of_different_names_stay_apart_on_one_network() {
    on_lan(2, Family::V4, |cluster| {
        let mut named = |name| {
            let settings = [MDNS, ("BRAFT_EXPECT", "2"), ("BRAFT_CLUSTER", name)];
            let first = cluster.start(0, &settings)?;
            braft::testing::TestResult::Ok([first, cluster.start(1, &settings)?])
        };
        let (ours, theirs) = (named("ours")?, named("theirs")?);
        let ours_id = cluster.one_cluster(&ours)?;
        let theirs_id = cluster.one_cluster(&theirs)?;
        assert_ne!(ours_id, theirs_id);
        cluster.record(ours[0], 1)?;
        // Recorded there for the first time, too.
        cluster.record(theirs[0], 1)
    });
}

#[test]
fn without_a_number_to_expect_nodes_wait_and_say_how_many_they_see() {
    on_lan(2, Family::V4, |cluster| {
        let nodes = [cluster.start(0, &[MDNS])?, cluster.start(1, &[MDNS])?];
        for node in nodes {
            cluster.wait("the node to say what it waits for", || {
                let formation = cluster.view(node)?.formation;
                let says = |part| formation.contains(part);
                (says("sees 2 pristine nodes") && says("BRAFT_EXPECT") && says("1 = run alone"))
                    .then_some(())
            })?;
        }
        Ok(())
    });
}

#[test]
fn a_node_says_so_when_multicast_does_not_work() {
    // Nothing carries multicast to [::1].
    on_lan(1, Family::V4, |cluster| {
        let settings = [MDNS, ("BRAFT_EXPECT", "3"), ("BRAFT_IP", "::1")];
        let node = cluster.start(0, &settings)?;
        cluster.wait("a word about multicast", || {
            let log = cluster.log(node);
            let says = |part| log.contains(part);
            (says("multicast does not work") && says("BRAFT_DISCOVERY=host1")).then_some(())
        })
    });
}

#[test]
fn a_node_says_so_when_it_sees_other_clusters_only() {
    on_lan(2, Family::V4, |cluster| {
        let start = |name| [MDNS, ("BRAFT_EXPECT", "2"), ("BRAFT_CLUSTER", name)];
        let node = cluster.start(0, &start("one"))?;
        cluster.start(1, &start("another"))?;
        cluster.wait("a word about the other cluster", || {
            let log = cluster.log(node);
            (log.contains("another") && log.contains("BRAFT_CLUSTER")).then_some(())
        })
    });
}
