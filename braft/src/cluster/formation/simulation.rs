//! Random schedules: crashes, lost, doubled and reordered messages, views that differ.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::{
    Body, Message,
    harness::{Packet, World, address},
};
use crate::discovery::PeerSet;

/// Most messages held back in one step.
const MAX_HELD: usize = 64;

/// One thing that happens; indexes are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Advance(u16),
    Tick {
        node: usize,
        actions: usize,
    },
    Deliver {
        packet: usize,
        actions: usize,
        keep: bool,
    },
    DeliverAll,
    Lose {
        packet: usize,
    },
    Crash {
        node: usize,
    },
    Start {
        node: usize,
    },
    Wipe {
        node: usize,
    },
    Discover {
        node: usize,
        seen: u8,
    },
    /// A node ends and starts again at once.
    Restart {
        node: usize,
    },
    /// A few rounds in which only these nodes hear each other; the rest stays on its way.
    Part {
        among: u8,
        hold: bool,
    },
    /// These nodes hear of each other, and that all of them agree, whether or not it is so: whom
    /// a node believes to be there must not matter for safety. `afresh`: they no longer count on
    /// anybody else.
    Rumour {
        among: u8,
        afresh: bool,
    },
}

/// Mostly everything is carried out; now and then a crash cuts a list of actions short.
fn actions() -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(usize::MAX), 1 => 0_usize..4]
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<usize>;
    prop_oneof![
        4 => (1_u16..900).prop_map(Step::Advance),
        10 => (index(), actions()).prop_map(|(node, actions)| Step::Tick { node, actions }),
        24 => (index(), actions(), prop::bool::weighted(0.2))
            .prop_map(|(packet, actions, keep)| Step::Deliver { packet, actions, keep }),
        4 => Just(Step::DeliverAll),
        4 => index().prop_map(|packet| Step::Lose { packet }),
        1 => index().prop_map(|node| Step::Crash { node }),
        2 => index().prop_map(|node| Step::Start { node }),
        1 => index().prop_map(|node| Step::Wipe { node }),
        1 => (index(), any::<u8>()).prop_map(|(node, seen)| Step::Discover { node, seen }),
        3 => index().prop_map(|node| Step::Restart { node }),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(among, hold)| Step::Part { among, hold }),
        8 => (any::<u8>(), any::<bool>()).prop_map(|(among, afresh)| Step::Rumour { among, afresh }),
    ]
}

fn run(world: &mut World, step: &Step, wipes: bool) {
    let nodes = world.nodes.len();
    match *step {
        Step::Advance(ms) => world.now += Duration::from_millis(ms.into()),
        Step::Tick { node, actions } => world.tick_until(node % nodes, actions),
        Step::Deliver {
            packet,
            actions,
            keep,
        } => {
            if world.network.is_empty() {
                return;
            }
            let index = packet % world.network.len();
            let packet = world.network[index].clone();
            if !keep {
                world.network.swap_remove(index);
            }
            world.deliver(packet, actions);
        }
        // Messages that follow from these wait for their own turn.
        Step::DeliverAll => {
            for packet in std::mem::take(&mut world.network) {
                world.deliver(packet, usize::MAX);
            }
        }
        Step::Lose { packet } => {
            if !world.network.is_empty() {
                let index = packet % world.network.len();
                world.network.swap_remove(index);
            }
        }
        Step::Crash { node } => world.crash(node % nodes),
        Step::Start { node } => world.start(node % nodes),
        Step::Wipe { node } => {
            if wipes {
                world.wipe(node % nodes);
            }
        }
        Step::Discover { node, seen } => {
            let peers = (0..nodes)
                .filter(|index| seen >> index & 1 == 1)
                .map(address)
                .collect();
            // By turns a list, and a source that sees more as time goes by.
            let expect = (node % 2 == 0).then_some(nodes);
            world.discover(node % nodes, PeerSet { peers, expect });
        }
        Step::Restart { node } => {
            world.crash(node % nodes);
            world.start(node % nodes);
        }
        Step::Part { among, hold } => part(world, among, hold),
        Step::Rumour { among, afresh } => rumour(world, among, afresh),
    }
}

fn chosen(world: &World, among: u8) -> Vec<usize> {
    (0..world.nodes.len())
        .filter(|index| among >> index & 1 == 1)
        .collect()
}

/// Rounds among a few nodes; with `hold`, only probes arrive, so that promises pile up.
fn part(world: &mut World, among: u8, hold: bool) {
    let inside = chosen(world, among);
    let addresses: BTreeSet<_> = inside.iter().map(|index| address(*index)).collect();
    let mut held = Vec::new();
    for _ in 0..8 {
        world.now += Duration::from_millis(100);
        inside.iter().for_each(|index| world.tick(*index));
        world.deliver_where(|packet| {
            let Packet::Message { from, to, message } = packet else {
                return false;
            };
            let near = addresses.contains(from) && addresses.contains(to);
            let probing = matches!(message.body, Body::Probe | Body::Here);
            let passes = near && (probing || !hold);
            if !passes && !probing && held.len() < MAX_HELD {
                held.push(packet.clone());
            }
            passes
        });
    }
    world.network.append(&mut held);
}

fn rumour(world: &mut World, among: u8, afresh: bool) {
    let inside = chosen(world, among);
    if afresh {
        inside.iter().for_each(|index| world.tick(*index));
        world.now += Duration::from_secs(2);
    }
    let mut ids: Vec<u64> = inside.iter().map(|index| world.node_id(*index)).collect();
    ids.sort_unstable();
    for to in &inside {
        for from in inside.iter().filter(|from| *from != to) {
            let mut sender = world.hello(*from);
            ids.truncate(sender.expect.unwrap_or(0) as usize);
            sender.choice = ids.iter().copied().collect();
            let message = Box::new(Message {
                sender,
                body: Body::Here,
            });
            let (from, to) = (address(*from), address(*to));
            world.deliver(Packet::Message { from, to, message }, usize::MAX);
        }
    }
    inside.iter().for_each(|index| world.tick(*index));
}

/// The network becomes reliable, and discovery complete.
fn heal(world: &mut World) {
    let all = PeerSet {
        peers: (0..world.nodes.len()).map(address).collect(),
        expect: Some(world.nodes.len()),
    };
    for index in 0..world.nodes.len() {
        world.start(index);
        world.discover(index, all.clone());
    }
    world.deliver_all();
}

proptest! {
    // Schedules that were found are written down in `schedules.rs`, in words.
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    /// The harness checks each initialization; disks may be lost at any moment.
    #[test]
    fn overlapping_sets_never_become_two_clusters(
        count in 4_usize..7,
        expect in 2_u32..5,
        steps in prop::collection::vec(step(), 0..400),
    ) {
        let mut world = World::new(count, Some(expect));
        for step in &steps {
            run(&mut world, step, true);
        }
    }

    /// Any two sets overlap, and no disk is lost: everybody ends in the same cluster.
    #[test]
    fn all_nodes_end_in_one_cluster_once_messages_flow(
        (count, expect) in (1_usize..7)
            .prop_flat_map(|count| (Just(count), count as u32 / 2 + 1..=count as u32)),
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut world = World::new(count, Some(expect));
        for step in &steps {
            run(&mut world, step, false);
        }
        heal(&mut world);
        world.settle(1000);
        prop_assert_eq!(world.memberships().len(), 1);
    }

    /// Small sets may form apart, but nobody is left out.
    #[test]
    fn no_node_is_left_out_once_messages_flow(
        (count, expect) in (2_usize..7)
            .prop_flat_map(|count| (Just(count), 1..=count as u32 / 2)),
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut world = World::new(count, Some(expect));
        for step in &steps {
            run(&mut world, step, false);
        }
        heal(&mut world);
        world.settle(1000);
    }
}
