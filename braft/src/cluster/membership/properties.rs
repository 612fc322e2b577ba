//! What holds for every view, and for a cluster that keeps obeying its plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::{Candidate, Change, Limits, Member, Plan, Removal, Role, UNKNOWN_LAG, View, plan};
use crate::discovery::PeerAddress;

const LONG: Duration = Duration::from_secs(1000);

fn address(number: u64) -> PeerAddress {
    format!("node{number}:15000").parse().expect("an address")
}

fn member() -> impl Strategy<Value = Member> {
    let seconds = prop_oneof![3 => Just(0_u64), 1 => 0_u64..20, 1 => 100_u64..300];
    let name = prop::option::of(prop_oneof![Just("a".to_owned()), Just("b".to_owned())]);
    (
        any::<bool>(),
        0_u64..12,
        name,
        seconds,
        0_u64..500,
        0_u64..5,
        any::<bool>(),
    )
        .prop_map(
            |(votes, host, name, silent, lag, stable, discovered)| Member {
                role: if votes { Role::Voter } else { Role::Learner },
                address: address(host),
                name,
                silent: Duration::from_secs(silent),
                lag,
                stable: Duration::from_secs(stable),
                discovered,
                shunned: None,
            },
        )
}

prop_compose! {
    fn view()(
        mut members in prop::collection::btree_map(1_u64..20, member(), 0..10),
        candidates in prop::collection::btree_map(
            10_u64..30,
            (0_u64..12).prop_map(|host| Candidate { address: address(host) }),
            0..5,
        ),
        removed in prop::collection::btree_map(
            10_u64..30,
            prop_oneof![Just(Removal::Dead), Just(Removal::Superseded), Just(Removal::Operator)],
            0..5,
        ),
        min_voters in 1_usize..5,
        max_voters in 1_usize..8,
        change_in_flight in prop::bool::weighted(0.1),
        joint in prop::bool::weighted(0.1),
        departing in prop::collection::btree_set(0_u64..20, 0..3),
        changed in prop::collection::btree_set(0_u64..20, 0..3),
    ) -> View {
        // The leader is in contact with itself.
        members.insert(0, Member {
            role: Role::Voter,
            address: address(100),
            name: None,
            silent: Duration::ZERO,
            lag: 0,
            stable: LONG,
            discovered: true,
            shunned: None,
        });
        let limits = Limits { min_voters, max_voters, ..Limits::DEFAULT };
        let mut view = View {
            leader: 0, members, change_in_flight, joint_target: None, candidates, removed, limits,
            departing, changed,
        };
        view.joint_target = joint.then(|| view.voters().into_iter().take(3).collect());
        view
    }
}

/// What is true of every plan, whatever the view.
fn check(view: &View, plan: &Plan) {
    for refusal in &plan.refusals {
        assert!(!refusal.reason.is_empty());
    }
    let Some(decision) = &plan.decision else {
        return;
    };
    assert!(!decision.reason.is_empty());
    let before = view.voters();
    let after = decision.change.resulting_voters(view);
    match &decision.change {
        Change::FinishJoint { voters } => assert_eq!(Some(voters), view.joint_target.as_ref()),
        Change::AddLearner { node_id } => {
            assert!(!view.members.contains_key(node_id));
            assert_ne!(view.removed.get(node_id), Some(&Removal::Operator));
        }
        Change::RemoveLearner { node_id, .. } => {
            assert_eq!(view.members[node_id].role, Role::Learner);
            let asked = view.departing.contains(node_id);
            assert!(asked || !view.members[node_id].silent.is_zero());
        }
        Change::Update { node_ids } => assert!(node_ids.is_subset(&view.changed)),
        Change::Promote { node_ids } => {
            assert!(
                node_ids
                    .iter()
                    .all(|id| view.members[id].role == Role::Learner)
            );
            assert!(node_ids.iter().all(|id| view.members[id].silent.is_zero()));
            assert!(after.len() <= view.limits.max_voters);
        }
        Change::ReplaceVoter { old: node_id, .. } | Change::RemoveVoter { node_id, .. } => {
            assert!(before.contains(node_id) && *node_id != view.leader);
            let failed = view.failed_voters();
            assert!(
                failed <= (before.len() - 1) / 2,
                "removed beyond what can be judged"
            );
            let floor = view.limits.min_voters.min(before.len());
            assert!(after.len() >= floor, "below the floor");
            let alive = after
                .iter()
                .filter(|id| view.members[id].silent.is_zero())
                .count();
            let failed = after.iter().filter(|id| view.is_failed(&view.members[id]));
            let failed = failed.count();
            assert!(
                failed <= (after.len() - 1) / 2 && alive > 0,
                "the rest is no majority"
            );
        }
    }
    // One change: at most one seat moves, or two learners come in.
    let (came, went) = (
        after.difference(&before).count(),
        before.difference(&after).count(),
    );
    let finishing = matches!(decision.change, Change::FinishJoint { .. });
    assert!(finishing || went == 0 && came <= 2 || went == 1 && came <= 1);
    assert!(finishing || after.contains(&view.leader));
}

/// Carries a plan's change out, as the monitor would, and lets time pass.
fn apply(view: &mut View, change: &Change) {
    let voters = change.resulting_voters(view);
    match change {
        Change::FinishJoint { .. } => view.joint_target = None,
        Change::AddLearner { node_id } => {
            let candidate = view.candidates.remove(node_id).expect("it asked");
            let learner = Member {
                role: Role::Learner,
                address: candidate.address,
                name: None,
                silent: Duration::ZERO,
                lag: 0,
                stable: LONG,
                discovered: true,
                shunned: None,
            };
            view.members.insert(*node_id, learner);
            view.removed.remove(node_id);
        }
        Change::RemoveLearner { node_id, removal }
        | Change::RemoveVoter { node_id, removal }
        | Change::ReplaceVoter {
            old: node_id,
            removal,
            ..
        } => {
            view.members.remove(node_id);
            view.removed.insert(*node_id, *removal);
        }
        Change::Promote { .. } => {}
        Change::Update { node_ids } => view.changed.retain(|id| !node_ids.contains(id)),
    }
    view.departing.retain(|id| view.members.contains_key(id));
    for (node_id, member) in &mut view.members {
        member.role = if voters.contains(node_id) {
            Role::Voter
        } else {
            Role::Learner
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_plan_is_safe_and_has_its_reasons(view in view()) {
        check(&view, &plan(&view));
    }

    #[test]
    fn obeying_the_plan_comes_to_rest(mut view in view()) {
        view.change_in_flight = false;
        let nodes = view.members.len() + view.candidates.len();
        // Each node is taken in, promoted and removed at most once; a joint one is finished once.
        for _ in 0..=3 * nodes + 1 {
            let plan = plan(&view);
            check(&view, &plan);
            let Some(decision) = plan.decision else { return Ok(()) };
            apply(&mut view, &decision.change);
        }
        prop_assert!(false, "still changing: {view:#?}");
    }
}

/// A cluster of healthy voters 0, 1, …, then healthy learners.
fn healthy(voters: u64, learners: u64) -> View {
    let member = |number: u64| Member {
        role: if number < voters {
            Role::Voter
        } else {
            Role::Learner
        },
        address: address(number),
        name: None,
        silent: Duration::ZERO,
        lag: 0,
        stable: LONG,
        discovered: true,
        shunned: None,
    };
    View {
        leader: 0,
        members: (0..voters + learners)
            .map(|number| (number, member(number)))
            .collect(),
        change_in_flight: false,
        joint_target: None,
        candidates: BTreeMap::new(),
        departing: BTreeSet::new(),
        changed: BTreeSet::new(),
        removed: BTreeMap::new(),
        limits: Limits::DEFAULT,
    }
}

fn change(view: &View) -> Option<Change> {
    plan(view).decision.map(|decision| decision.change)
}

fn refused(view: &View, node_id: u64) -> String {
    let refusals = plan(view).refusals;
    let of_node = refusals
        .iter()
        .filter(|refusal| refusal.node_id == Some(node_id));
    of_node
        .map(|refusal| refusal.reason.as_str())
        .collect::<Vec<_>>()
        .join("; ")
}

fn silence(view: &mut View, node_id: u64, seconds: u64) {
    let member = view.members.get_mut(&node_id).expect("a member");
    member.silent = Duration::from_secs(seconds);
    member.discovered = false;
}

fn promote(node_ids: &[u64]) -> Option<Change> {
    Some(Change::Promote {
        node_ids: node_ids.iter().copied().collect(),
    })
}

#[test]
fn second_and_third_voter_do_not_wait_for_another() {
    assert_eq!(change(&healthy(1, 1)), promote(&[1]));
    assert_eq!(change(&healthy(2, 1)), promote(&[2]));
}

#[test]
fn fourth_voter_comes_with_the_fifth() {
    assert_eq!(change(&healthy(3, 1)), None);
    assert!(refused(&healthy(3, 1), 3).contains("waits for another learner"));
    assert_eq!(change(&healthy(3, 2)), promote(&[3, 4]));
    assert_eq!(change(&healthy(4, 1)), promote(&[4]));
}

#[test]
fn fourth_voter_does_not_wait_when_it_is_the_last_one_allowed() {
    let mut view = healthy(3, 1);
    view.limits.max_voters = 4;
    assert_eq!(change(&view), promote(&[3]));
}

#[test]
fn learners_stay_when_all_seats_are_taken() {
    assert_eq!(change(&healthy(5, 2)), None);
    assert!(refused(&healthy(5, 2), 5).contains("all 5 seats are taken"));
}

#[test]
fn a_learner_that_lags_or_is_new_does_not_vote() {
    let mut view = healthy(2, 1);
    view.members.get_mut(&2).expect("a learner").lag = 251;
    assert_eq!(change(&view), None);
    assert!(refused(&view, 2).contains("251 entries behind"));
    view.members.get_mut(&2).expect("a learner").lag = UNKNOWN_LAG;
    assert_eq!(change(&view), None);
    assert!(refused(&view, 2).contains("not said yet how far"));
    let mut view = healthy(2, 1);
    view.members.get_mut(&2).expect("a learner").stable = Duration::from_secs(1);
    assert_eq!(change(&view), None);
    assert!(refused(&view, 2).contains("kept up for 1s of 2s"));
}

#[test]
fn a_dead_voter_is_replaced_by_a_ready_learner_in_one_change() {
    let mut view = healthy(3, 1);
    silence(&mut view, 2, 121);
    let replaced = Change::ReplaceVoter {
        old: 2,
        new: 3,
        removal: Removal::Dead,
    };
    assert_eq!(change(&view), Some(replaced.clone()));
    // Only the resulting set counts: the floor does not forbid a replacement.
    view.limits.min_voters = 3;
    assert_eq!(change(&view), Some(replaced));
}

#[test]
fn a_dead_voter_without_replacement_goes_until_the_floor_is_reached() {
    let mut view = healthy(3, 0);
    silence(&mut view, 2, 121);
    assert_eq!(
        change(&view),
        Some(Change::RemoveVoter {
            node_id: 2,
            removal: Removal::Dead
        })
    );
    view.limits.min_voters = 3;
    assert_eq!(change(&view), None);
    assert!(refused(&view, 2).contains("min_voters is 3"));
}

#[test]
fn a_member_that_leaves_goes_at_once_but_never_takes_the_quorum_along() {
    let mut view = healthy(3, 0);
    view.departing.insert(1);
    let gone = Change::RemoveVoter {
        node_id: 1,
        removal: Removal::Operator,
    };
    assert_eq!(change(&view), Some(gone));
    silence(&mut view, 2, 15);
    assert_eq!(change(&view), None);
    assert!(refused(&view, 1).contains("too few are in contact"));
    // Silent for a moment only: it may be dead for good, and the rest could commit nothing.
    silence(&mut view, 2, 3);
    assert_eq!(change(&view), None);
    assert!(refused(&view, 1).contains("too few are in contact"));
    // In contact, and far behind: commits would wait for it.
    let mut view = healthy(3, 0);
    view.departing.insert(1);
    view.members.get_mut(&2).expect("a voter").lag = 100_000;
    assert_eq!(change(&view), None);
    let mut view = healthy(2, 0);
    view.departing.insert(1);
    assert!(refused(&view, 1).contains("min_voters is 2"));
    let mut view = healthy(3, 0);
    view.departing.insert(0);
    assert_eq!(change(&view), None);
    assert!(refused(&view, 0).contains("hand over first"));
}

#[test]
fn a_voter_that_the_leader_does_not_speak_to_is_not_taken_for_dead() {
    let mut view = healthy(3, 1);
    silence(&mut view, 2, 500);
    let member = view.members.get_mut(&2).expect("a voter");
    member.shunned = Some("its timers are shorter".to_owned());
    assert_eq!(change(&view), None);
    assert!(refused(&view, 2).contains("its timers are shorter"));
}

#[test]
fn a_new_address_is_committed_when_nothing_else_is_to_do() {
    let mut view = healthy(3, 1);
    view.changed = [0, 1, 2].into();
    let update = Change::Update {
        node_ids: [0, 1, 2].into(),
    };
    assert_eq!(change(&view), Some(update));
    silence(&mut view, 3, 500);
    assert!(matches!(
        change(&view),
        Some(Change::RemoveLearner { node_id: 3, .. })
    ));
}

#[test]
fn five_voters_die_one_after_another_down_to_the_floor() {
    let mut view = healthy(5, 0);
    for dead in [4, 3, 2] {
        silence(&mut view, dead, 121);
        let Some(removed) = change(&view) else {
            panic!("{dead} was not removed: {}", refused(&view, dead));
        };
        apply(&mut view, &removed);
        assert!(!view.members.contains_key(&dead));
    }
    silence(&mut view, 1, 121);
    assert_eq!(change(&view), None);
    assert!(refused(&view, 1).contains("1 of 2 voters are failed"));
}

#[test]
fn nobody_is_removed_when_too_many_have_failed() {
    let mut view = healthy(5, 0);
    silence(&mut view, 2, 121);
    silence(&mut view, 3, 20);
    assert!(change(&view).is_some());
    silence(&mut view, 4, 20);
    assert_eq!(change(&view), None);
    assert!(refused(&view, 2).contains("3 of 5 voters are failed"));
}

#[test]
fn dead_learners_go_before_dead_voters() {
    let mut view = healthy(3, 1);
    silence(&mut view, 1, 500);
    silence(&mut view, 3, 500);
    let first = Change::RemoveLearner {
        node_id: 3,
        removal: Removal::Dead,
    };
    assert_eq!(change(&view), Some(first));
}

#[test]
fn a_successor_at_the_old_address_takes_the_seat_early() {
    let mut view = healthy(3, 2);
    view.members.get_mut(&4).expect("a learner").address = address(1);
    silence(&mut view, 1, 11);
    let replaced = Change::ReplaceVoter {
        old: 1,
        new: 4,
        removal: Removal::Superseded,
    };
    assert_eq!(change(&view), Some(replaced));
    // Not while discovery still shows the old one, nor within its first ten seconds of silence.
    view.members.get_mut(&1).expect("a voter").discovered = true;
    assert_ne!(change(&view), None);
    assert!(matches!(change(&view), Some(Change::Promote { .. })));
    silence(&mut view, 1, 9);
    assert!(matches!(change(&view), Some(Change::Promote { .. })));
}

#[test]
fn a_successor_is_known_by_its_given_name_only() {
    let mut view = healthy(3, 1);
    silence(&mut view, 1, 11);
    assert_eq!(change(&view), None);
    for node_id in [1, 3] {
        view.members.get_mut(&node_id).expect("a member").name = Some("blue".to_owned());
    }
    let replaced = Change::ReplaceVoter {
        old: 1,
        new: 3,
        removal: Removal::Superseded,
    };
    assert_eq!(change(&view), Some(replaced));
}

#[test]
fn a_joint_configuration_is_finished_before_all_else() {
    let mut view = healthy(3, 1);
    silence(&mut view, 2, 500);
    view.joint_target = Some([0, 1, 3].into());
    assert_eq!(
        change(&view),
        Some(Change::FinishJoint {
            voters: [0, 1, 3].into()
        })
    );
    view.change_in_flight = true;
    assert_eq!(change(&view), None);
}

#[test]
fn a_node_removed_by_an_operator_stays_out_and_one_that_was_dead_comes_back() {
    let mut view = healthy(3, 0);
    view.candidates.insert(
        9,
        Candidate {
            address: address(9),
        },
    );
    view.removed.insert(9, Removal::Operator);
    assert_eq!(change(&view), None);
    assert!(refused(&view, 9).contains("an operator removed it"));
    view.removed.insert(9, Removal::Dead);
    assert_eq!(change(&view), Some(Change::AddLearner { node_id: 9 }));
}
