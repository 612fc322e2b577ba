//! Random schedules: crashes, lost, doubled and reordered messages, views that differ.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::harness::{World, address};

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
            let seen = (0..nodes)
                .filter(|index| seen >> index & 1 == 1)
                .map(address)
                .collect();
            world.discover(node % nodes, seen);
        }
    }
}

/// The network becomes reliable, and discovery complete.
fn heal(world: &mut World) {
    let all: BTreeSet<_> = (0..world.nodes.len()).map(address).collect();
    for index in 0..world.nodes.len() {
        world.start(index);
        world.discover(index, all.clone());
    }
    world.deliver_all();
}

proptest! {
    // Schedules that were found are written down in `schedules.rs`, in words.
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// The harness checks each initialization; disks may be lost at any moment.
    #[test]
    fn overlapping_sets_never_become_two_clusters(
        count in 1_usize..7,
        expect in 1_u32..5,
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
