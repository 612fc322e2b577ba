//! Schedules worth a name; the harness checks the protocol's promise in each of them.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Body, Hello, Message, Proposal,
    harness::{Packet, World, address},
};
use crate::discovery::PeerSet;

/// What node `from` (an index) says about itself: that it would choose these ids.
fn hello(world: &World, from: usize, choice: &[u64]) -> Hello {
    Hello {
        choice: choice.iter().copied().collect(),
        cluster_id: None,
        ..world.hello(from)
    }
}

/// Lets `to` hear that `from` is there and would choose these ids.
fn hear(world: &mut World, to: usize, from: usize, choice: &[u64]) {
    let sender = hello(world, from, choice);
    say(
        world,
        to,
        Message {
            sender,
            body: Body::Here,
        },
    );
}

fn say(world: &mut World, to: usize, message: Message) {
    let (from, message) = (message.sender.address.clone(), Box::new(message));
    world.deliver(
        Packet::Message {
            from,
            to: address(to),
            message,
        },
        usize::MAX,
    );
}

/// Makes the node at `lowest` propose a set together with the others, whose answers are still to
/// come; returns the proposal and the requests on their way to them.
fn propose(world: &mut World, lowest: usize, others: [usize; 2]) -> (Proposal, Vec<Packet>) {
    let ids = [lowest, others[0], others[1]].map(|index| world.node_id(index));
    for other in others {
        hear(world, lowest, other, &ids);
    }
    // Past the time a node looks around for a cluster, and short of the time it forgets.
    world.tick(lowest);
    if world.nodes[lowest].record.promise.is_none() {
        world.now += Duration::from_secs(1);
        world.tick(lowest);
    }
    let proposal = world.nodes[lowest]
        .record
        .promise
        .clone()
        .expect("it proposes");
    let mut requests = std::mem::take(&mut world.network);
    requests.retain(|packet| matches!(body(packet), Some(Body::Promise(_))));
    assert_eq!(requests.len(), others.len());
    (proposal, requests)
}

fn body(packet: &Packet) -> Option<&Body> {
    match packet {
        Packet::Message { message, .. } => Some(&message.body),
        Packet::Raft { .. } | Packet::Join { .. } => None,
    }
}

fn request_to(requests: &[Packet], index: usize) -> Packet {
    let request = requests
        .iter()
        .find(|packet| *packet.to() == address(index));
    request.expect("a request to that node").clone()
}

fn promise(world: &World, index: usize) -> Option<&Proposal> {
    world.nodes[index].record.promise.as_ref()
}

#[test]
fn two_lowest_ids_that_each_believe_in_a_full_set_make_one_cluster() {
    let mut world = World::new(4, Some(3));
    // Both have heard from nodes 2 and 3 that they agree, and have not heard of each other.
    let (first, to_first) = propose(&mut world, 0, [2, 3]);
    let (second, to_second) = propose(&mut world, 1, [2, 3]);
    assert_ne!(first.cluster_id(), second.cluster_id());
    // One of the two others is won by each.
    hear(&mut world, 2, 0, &[]);
    hear(&mut world, 2, 3, &[]);
    hear(&mut world, 3, 1, &[]);
    hear(&mut world, 3, 2, &[]);
    world.deliver(request_to(&to_first, 2), usize::MAX);
    world.deliver(request_to(&to_second, 3), usize::MAX);
    assert_eq!(promise(&world, 2), Some(&first));
    assert_eq!(promise(&world, 3), Some(&second));
    // Then each gets the other's request as well.
    world.deliver(request_to(&to_first, 3), usize::MAX);
    world.deliver(request_to(&to_second, 2), usize::MAX);
    world.deliver_all();
    world.settle(200);
    assert_eq!(world.memberships().len(), 1);
    assert_eq!(world.clusters.len(), 1);
}

#[test]
fn both_full_sets_cannot_be_won_by_asking_in_turn() {
    let mut world = World::new(4, Some(3));
    let (first, to_first) = propose(&mut world, 0, [2, 3]);
    let (second, to_second) = propose(&mut world, 1, [2, 3]);
    for index in [2, 3] {
        hear(&mut world, index, 0, &[]);
        hear(&mut world, index, 5 - index, &[]);
        world.deliver(request_to(&to_first, index), usize::MAX);
        world.deliver(request_to(&to_second, index), usize::MAX);
        assert_eq!(promise(&world, index), Some(&first));
    }
    // The first one's answers are slow; the second one's refusals are not.
    let answers = std::mem::take(&mut world.network);
    let (slow, quick): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|packet| *packet.to() == address(0));
    quick
        .into_iter()
        .for_each(|packet| world.deliver(packet, usize::MAX));
    assert_eq!(promise(&world, 1), None);
    slow.into_iter()
        .for_each(|packet| world.deliver(packet, usize::MAX));
    world.settle(200);
    assert_eq!(world.memberships(), BTreeSet::from([first.cluster_id()]));
    assert!(!world.clusters.contains_key(&second.cluster_id()));
}

/// Three nodes that all hold the promise, with the first one gone before it could initialize.
fn promised_without_initializer() -> (World, Proposal) {
    let mut world = World::new(3, Some(3));
    let (proposal, requests) = propose(&mut world, 0, [1, 2]);
    for index in [1, 2] {
        hear(&mut world, index, 0, &[]);
        hear(&mut world, index, 3 - index, &[]);
        world.deliver(request_to(&requests, index), usize::MAX);
        assert_eq!(promise(&world, index), Some(&proposal));
    }
    world.crash(0);
    world.network.clear();
    assert!(world.clusters.is_empty());
    (world, proposal)
}

#[test]
fn the_next_lowest_takes_over_under_the_same_id_when_the_initializer_is_silent() {
    let (mut world, proposal) = promised_without_initializer();
    world.settle(200);
    assert_eq!(world.memberships(), BTreeSet::from([proposal.cluster_id()]));
    assert_eq!(world.clusters[&proposal.cluster_id()], proposal.members);
    // The one who was silent comes back and finds itself a member.
    world.start(0);
    world.settle(200);
    assert_eq!(world.memberships(), BTreeSet::from([proposal.cluster_id()]));
}

#[test]
fn a_late_initializer_makes_the_same_cluster_again() {
    let (mut world, proposal) = promised_without_initializer();
    world.settle(200);
    // It comes back cut off from raft's traffic, and hears only what it asks for.
    world.start(0);
    world.crash(1);
    world.crash(2);
    let members: Vec<u64> = proposal.members.keys().copied().collect();
    world.tick(0);
    for from in [1, 2] {
        let sender = hello(&world, from, &members);
        say(
            &mut world,
            0,
            Message {
                sender,
                body: Body::Promised(proposal.clone()),
            },
        );
    }
    world.tick(0);
    assert_eq!(world.nodes[0].cluster, Some((proposal.cluster_id(), true)));
    assert_eq!(world.clusters.len(), 1);
}

#[test]
fn a_refused_promise_is_released_by_all() {
    let mut world = World::new(3, Some(3));
    let (proposal, requests) = propose(&mut world, 0, [1, 2]);
    hear(&mut world, 1, 0, &[]);
    hear(&mut world, 1, 2, &[]);
    world.deliver(request_to(&requests, 1), usize::MAX);
    assert_eq!(promise(&world, 1), Some(&proposal));
    // Node 2 has not heard of node 1, so it would choose otherwise.
    let late = request_to(&requests, 2);
    world.deliver(late.clone(), usize::MAX);
    assert_eq!(world.nodes[2].record.floor, proposal.attempt);
    world.deliver_all();
    assert_eq!(promise(&world, 0), None);
    assert_eq!(promise(&world, 1), None);
    // A late copy finds node 2 agreeing by now, but a refusal is for good, restart or not.
    world.crash(2);
    world.start(2);
    hear(&mut world, 2, 0, &[]);
    hear(&mut world, 2, 1, &[]);
    world.network.clear();
    world.deliver(late, usize::MAX);
    assert!(matches!(
        body(&world.network[0]),
        Some(Body::Refused { .. })
    ));
    world.settle(200);
    assert!(!world.clusters.contains_key(&proposal.cluster_id()));
    assert_eq!(world.memberships().len(), 1);
}

#[test]
fn a_promise_outlives_a_crash_before_its_answer() {
    let mut world = World::new(3, Some(3));
    let (proposal, requests) = propose(&mut world, 0, [1, 2]);
    for index in [1, 2] {
        hear(&mut world, index, 0, &[]);
        hear(&mut world, index, 3 - index, &[]);
        // The record is written; then the process is gone.
        world.deliver(request_to(&requests, index), 1);
        assert!(world.nodes[index].process.is_none());
        assert_eq!(promise(&world, index), Some(&proposal));
        world.start(index);
    }
    assert!(
        world
            .network
            .iter()
            .all(|packet| !matches!(body(packet), Some(Body::Promised(_))))
    );
    world.settle(200);
    assert_eq!(world.memberships(), BTreeSet::from([proposal.cluster_id()]));
}

#[test]
fn a_promise_that_was_not_written_was_not_given() {
    let mut world = World::new(3, Some(3));
    let (_, requests) = propose(&mut world, 0, [1, 2]);
    hear(&mut world, 1, 0, &[]);
    hear(&mut world, 1, 2, &[]);
    world.deliver(request_to(&requests, 1), 0);
    assert_eq!(promise(&world, 1), None);
    assert!(world.network.is_empty());
    world.start(1);
    world.settle(400);
    assert_eq!(world.memberships().len(), 1);
}

#[test]
fn a_proposer_that_crashes_before_asking_asks_after_its_restart() {
    let mut world = World::new(3, Some(3));
    let (proposal, _) = propose(&mut world, 0, [1, 2]);
    world.crash(0);
    world.start(0);
    world.tick(0);
    let asked = |packet: &&Packet| body(packet) == Some(&Body::Promise(proposal.clone()));
    assert_eq!(world.network.iter().filter(asked).count(), 2);
    world.settle(200);
    assert_eq!(world.memberships().len(), 1);
}

#[test]
fn a_node_that_finds_a_member_joins_instead_of_forming() {
    let mut world = World::new(4, Some(3));
    world.crash(3);
    world.settle(200);
    let cluster_id = *world.clusters.keys().next().expect("a cluster");
    // Even one that would be enough on its own.
    world.set_expect(3, Some(1));
    world.settle(200);
    assert_eq!(world.clusters.len(), 1);
    assert_eq!(world.nodes[3].cluster, Some((cluster_id, true)));
    assert!(world.nodes[3].joins.contains(&cluster_id));
}

#[test]
fn a_bound_node_joins_another_cluster_only_when_its_promise_is_dead() {
    let mut world = World::new(3, Some(3));
    let (proposal, _) = propose(&mut world, 0, [1, 2]);
    // A member of another cluster that is not in the set proves nothing.
    let mut stranger = hello(&world, 2, &[]);
    (stranger.node_id, stranger.address) = (77, address(7));
    stranger.cluster_id = Some(42);
    say(
        &mut world,
        0,
        Message {
            sender: stranger,
            body: Body::Here,
        },
    );
    world.event(0, super::Event::Contacted(42), usize::MAX);
    world.round();
    assert!(world.nodes[0].cluster.is_none() && world.nodes[0].joins.is_empty());
    assert_eq!(promise(&world, 0), Some(&proposal));
    // One that is in the set does.
    let mut member = hello(&world, 1, &[]);
    member.cluster_id = Some(42);
    say(
        &mut world,
        0,
        Message {
            sender: member,
            body: Body::Here,
        },
    );
    assert_eq!(promise(&world, 0), None);
    world.now += Duration::from_secs(1);
    world.tick(0);
    assert_eq!(world.nodes[0].joins, [42]);
}

#[test]
fn one_expected_node_forms_alone_at_once() {
    let mut world = World::new(1, Some(1));
    world.tick(0);
    assert!(matches!(world.nodes[0].cluster, Some((_, true))));
}

#[test]
fn of_two_nodes_that_would_run_alone_one_joins_the_other() {
    let mut world = World::new(2, Some(1));
    world.settle(200);
    assert_eq!(world.clusters.len(), 1);
    assert_eq!(world.memberships().len(), 1);
}

#[test]
fn the_lowest_ids_form_and_the_rest_join_when_there_are_more_than_expected() {
    let mut world = World::new(6, Some(3));
    world.settle(400);
    assert_eq!(world.clusters.len(), 1);
    let members = world.clusters.values().next().expect("a cluster");
    assert!(members.keys().eq([1, 2, 3].iter()));
    assert_eq!(world.memberships().len(), 1);
}

#[test]
fn nodes_bound_to_a_lost_disk_say_what_to_do_and_form_nothing_else() {
    let mut world = World::new(3, Some(3));
    let (_, requests) = propose(&mut world, 0, [1, 2]);
    hear(&mut world, 1, 0, &[]);
    hear(&mut world, 1, 2, &[]);
    world.deliver(request_to(&requests, 1), usize::MAX);
    world.wipe(2);
    (0..100).for_each(|_| world.round());
    assert!(world.clusters.is_empty());
    for index in [0, 1] {
        let reported = &world.nodes[index].reported;
        assert!(reported.contains("data directory"), "{reported}");
        assert!(
            reported.contains("0000000000000003 at node2:15000"),
            "{reported}"
        );
    }
    world.wipe(0);
    world.wipe(1);
    world.settle(400);
    assert_eq!(world.memberships().len(), 1);
}

#[test]
fn a_wiped_member_of_a_cluster_joins_it_as_a_new_node() {
    let mut world = World::new(3, Some(3));
    world.settle(200);
    world.wipe(2);
    world.settle(200);
    assert_eq!(world.clusters.len(), 1);
    assert_eq!(world.memberships().len(), 1);
}

#[test]
fn a_member_that_was_let_in_and_left_alone_initializes_itself() {
    let (mut world, proposal) = promised_without_initializer();
    // Node 0 initialized, made contact with the others, and lost its disk.
    world
        .clusters
        .insert(proposal.cluster_id(), proposal.members.clone());
    for index in [1, 2] {
        world.event(
            index,
            super::Event::Contacted(proposal.cluster_id()),
            usize::MAX,
        );
        assert_eq!(
            world.nodes[index].cluster,
            Some((proposal.cluster_id(), false))
        );
    }
    world.crash(2);
    world.start(2);
    world.settle(200);
    assert_eq!(world.clusters.len(), 1);
}

#[test]
fn without_a_number_to_expect_a_node_waits_and_says_so() {
    let mut world = World::new(2, None);
    (0..100).for_each(|_| world.round());
    assert!(world.clusters.is_empty());
    let reported = &world.nodes[0].reported;
    assert!(reported.contains("sees 2 pristine nodes"), "{reported}");
    assert!(reported.contains("BRAFT_EXPECT"), "{reported}");
}

#[test]
fn a_source_that_knows_how_many_nodes_form_the_cluster_is_believed() {
    let mut world = World::new(3, None);
    let list = PeerSet {
        peers: (0..3).map(address).collect(),
        expect: Some(3),
    };
    (0..3).for_each(|index| world.discover(index, list.clone()));
    world.settle(200);
    assert_eq!(world.clusters.len(), 1);
}

#[test]
fn nodes_that_see_each_other_first_form_no_cluster_beside_the_one_they_see_next() {
    let mut world = World::new(6, Some(3));
    (3..6).for_each(|index| world.crash(index));
    world.settle(200);
    let seen = |peers: std::ops::Range<usize>| PeerSet {
        peers: peers.map(address).collect(),
        expect: None,
    };
    // The members do not look for newcomers: they are found.
    (0..3).for_each(|index| world.discover(index, seen(0..3)));
    for index in 3..6 {
        world.nodes[index].discovered = seen(3..6);
        world.start(index);
    }
    // A second passes; then one of them sees a member.
    (0..20).for_each(|_| world.round());
    world.discover(4, seen(0..6));
    world.settle(200);
    assert_eq!(world.memberships().len(), 1);
    assert_eq!(world.clusters.len(), 1);
}

#[test]
fn different_numbers_to_expect_are_reported() {
    let mut world = World::new(3, Some(3));
    world.set_expect(2, Some(2));
    (0..50).for_each(|_| world.round());
    assert!(world.clusters.is_empty());
    let reported = &world.nodes[0].reported;
    assert!(reported.contains("sees 2 of the 3"), "{reported}");
    assert!(
        reported.contains("1 more expect another number"),
        "{reported}"
    );
}

#[test]
fn a_node_that_meets_its_own_id_elsewhere_forms_nothing() {
    let mut world = World::new(1, Some(1));
    let mut copy = hello(&world, 0, &[]);
    copy.address = address(9);
    say(
        &mut world,
        0,
        Message {
            sender: copy,
            body: Body::Probe,
        },
    );
    world.tick(0);
    assert!(world.nodes[0].cluster.is_none());
    assert!(
        world.nodes[0]
            .reported
            .contains("node9:15000 has this node's id")
    );
}

#[test]
fn strangers_get_no_answer() {
    let mut world = World::new(2, Some(2));
    let mut sender = hello(&world, 1, &[]);
    sender.cluster_name = "another".to_owned();
    say(
        &mut world,
        0,
        Message {
            sender,
            body: Body::Probe,
        },
    );
    assert!(world.network.is_empty());
}

#[test]
fn a_member_that_meets_another_cluster_of_its_name_says_so() {
    let mut world = World::new(1, Some(1));
    world.tick(0);
    let mut other = hello(&world, 0, &[]);
    (other.node_id, other.address, other.cluster_id) = (9, address(9), Some(42));
    say(
        &mut world,
        0,
        Message {
            sender: other,
            body: Body::Here,
        },
    );
    let reported = &world.nodes[0].reported;
    assert!(
        reported.contains("node9:15000 belongs to another cluster named \"test\""),
        "{reported}"
    );
}

#[test]
fn an_implausible_proposal_is_not_answered() {
    let mut world = World::new(2, Some(2));
    let sender = hello(&world, 1, &[]);
    let own = (world.node_id(1), address(1));
    // The receiver is not in it.
    let proposal = Proposal {
        members: [own].into_iter().collect(),
        attempt: 1,
    };
    say(
        &mut world,
        0,
        Message {
            sender: sender.clone(),
            body: Body::Promise(proposal),
        },
    );
    // There are too many in it.
    let members = (1..=65).map(|id| (id, address(id as usize))).collect();
    say(
        &mut world,
        0,
        Message {
            sender,
            body: Body::Promise(Proposal {
                members,
                attempt: 1,
            }),
        },
    );
    assert!(world.network.is_empty());
    assert_eq!(world.nodes[0].record, super::PromiseRecord::default());
}
