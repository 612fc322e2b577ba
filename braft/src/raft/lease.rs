//! Issues and ends the tokens of a leader.
//!
//! # Why no two tokens are valid at the same moment
//! Let L lead term T. Its token is extended to `s + lease - margin`, where `s` is the moment by
//! which L had sent each voter of a quorum Q a heartbeat that it then answered (L counts itself as
//! answering at once). Suppose that another node becomes the leader of a later term, by the votes
//! of a quorum R. Q and R share a voter v.
//!
//! ```text
//! L   ──s────────────────────────────────────────× s + lease - margin: the token is over
//!        ╲            ╱ answer
//! v   ────r──────────·──────────────────────────────────────× r + lease: v may vote
//!         └──────────── refuses to vote or campaign ────────┘
//! ```
//!
//! - v answered T's heartbeat, so it had not voted in a later term before `r`, when it got it.
//! - v refuses its vote until `r + lease` (openraft's leader lease), and `r >= s`. So the later
//!   leader is elected after the token is over, and its token is issued later still. The margin is
//!   for clocks that run at different rates, and gives the task time to end.
//! - v was restarted after `r`: it keeps out of elections for a lease after the start (`restart.rs`).
//! - v is L itself: L refuses votes for its own lease, and a restart ends its process, and with it
//!   the token.
//! - v votes early because L hands over: [`Lease::hand_over`] ended the token before the others
//!   were asked, and issues no other in that term, whatever becomes of the handover.
//! - The voters change: two configurations in a row share a voter in each two quorums. L may see a
//!   configuration late, but not by two: the last one is only proposed when the one before has been
//!   committed and shown; whoever can be elected by it alone got it from L after that, and kept out
//!   of elections for a lease since. L alone in its configuration is the case of an empty quorum:
//!   `s` is the moment before it looked.
//!
//! The lease of both sides is the upper election timeout; a leader speaks to no voter whose timeout
//! is shorter than its own (the handshake compares them).
//!
//! None of this holds for what a paused process does before it looks at its clock again, nor for a
//! machine whose monotonic clock stands still while others go on. There the fencing number is what
//! counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Raft;
use super::handle::LOOK_EVERY;
use super::network::{Acks, Timers};
use super::types::{TypeConfig, plain};
use crate::leadership::{Leader, LeaderChange, LeaderToken};
use crate::member::display_id;
use crate::planted::{self, Bug};
use crate::world;

/// What part of the lease is given up for clocks that differ, and for the task to end.
const MARGIN_PART: u32 = 10;

/// Issues tokens while this node leads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lease(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    tokens: watch::Sender<Option<LeaderToken>>,
    changes: watch::Sender<LeaderChange>,
    lease: Duration,
    me: u64,
}

#[derive(Default)]
struct State {
    /// No token is issued in this term or an earlier one: its leader has given it up.
    given_up: u64,
    /// Handovers that are being asked for.
    handing_over: u32,
    closed: bool,
}

/// What there is to see of this node's leadership, at one moment.
#[derive(Clone, Debug)]
struct Seen {
    term: u64,
    leads: bool,
    /// The term of the last entry applied here.
    applied_term: Option<u64>,
    /// By when a quorum had been sent what it then answered.
    quorum: Option<Instant>,
}

impl Lease {
    pub(super) fn start(raft: &Raft, acks: Arc<Acks>, timers: Timers, me: u64) -> Self {
        let lease = Lease::new(timers, me);
        let heartbeat = Duration::from_millis(timers.heartbeat_ms.into());
        world::spawn(run(lease.clone(), raft.metrics(), acks, heartbeat));
        lease
    }

    fn new(timers: Timers, me: u64) -> Self {
        let lease = Duration::from_millis(timers.election_max_ms.into());
        Lease(Arc::new(Shared {
            state: Mutex::default(),
            tokens: watch::Sender::new(None),
            changes: watch::Sender::new(LeaderChange::default()),
            lease: if planted::is(Bug::LeaseWithoutMargin) {
                lease
            } else {
                lease - lease / MARGIN_PART
            },
            me,
        }))
    }

    /// The present token; the last one stays, over, until the next is issued.
    pub(crate) fn tokens(&self) -> watch::Receiver<Option<LeaderToken>> {
        self.0.tokens.subscribe()
    }

    /// Who leads, as it changes.
    pub(crate) fn changes(&self) -> watch::Receiver<LeaderChange> {
        self.0.changes.subscribe()
    }

    /// Ends the token and issues no further one.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.revoke();
    }

    /// Hands leadership over: the token ends before `ask` runs. `ask` answers with the term in which
    /// it asked; none is issued in that term any more. If it does not, none ever is.
    pub(super) async fn hand_over<E>(
        &self,
        ask: impl Future<Output = Result<u64, E>>,
    ) -> Result<(), E> {
        if planted::is(Bug::HandOverWithToken) {
            return ask.await.map(drop);
        }
        self.state().handing_over += 1;
        self.revoke();
        let term = ask.await?;
        let mut state = self.state();
        state.handing_over -= 1;
        state.given_up = state.given_up.max(term);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revoke(&self) {
        if let Some(token) = &*self.0.tokens.borrow() {
            token.revoke();
        }
    }

    /// Issues, extends or ends the token.
    fn look(&self, seen: &Seen) {
        // Held to the end: what is issued from here has to see a handover that begins meanwhile.
        let state = self.state();
        let may_lead =
            seen.leads && seen.term > state.given_up && state.handing_over == 0 && !state.closed;
        let present = self.0.tokens.borrow().clone();
        if let Some(token) = &present
            && !(may_lead && token.term() == seen.term)
        {
            token.revoke();
        }
        let Some(until) = seen.quorum.map(|sent| sent + self.0.lease) else {
            return;
        };
        // A token that was revoked is not extended.
        if !may_lead || present.is_some_and(|token| token.extend(until)) {
            return;
        }
        if seen.applied_term == Some(seen.term) && until > Instant::now() {
            let token = LeaderToken::issue(seen.term, until);
            self.0.tokens.send_replace(Some(token));
        }
    }

    /// When to look again at the latest, for the token's sake.
    fn look_again(&self) -> Option<Duration> {
        let present = self.0.tokens.borrow();
        let left = present.as_ref().map(LeaderToken::remaining);
        left.filter(|left| !left.is_zero())
    }

    fn note(&self, change: LeaderChange) {
        self.0.changes.send_if_modified(|now| {
            let same = now.leader.as_ref().map(|leader| &leader.id)
                == change.leader.as_ref().map(|leader| &leader.id)
                && (change.leader.is_none() || now.term == change.term);
            if !same {
                *now = change;
            }
            !same
        });
    }
}

type Metrics = openraft::RaftMetrics<TypeConfig>;

async fn run(
    lease: Lease,
    mut metrics: openraft::type_config::alias::WatchReceiverOf<TypeConfig, Metrics>,
    acks: Arc<Acks>,
    heartbeat: Duration,
) {
    loop {
        let looked = Instant::now();
        let (seen, change, stopped) = {
            let metrics = metrics.borrow_watched();
            (
                seen(&metrics, &acks, lease.0.me, looked),
                change(&metrics, lease.0.me),
                metrics.running_state.is_err(),
            )
        };
        lease.look(&seen);
        lease.note(change);
        if stopped {
            return lease.close();
        }
        let again = lease
            .look_again()
            .map_or(heartbeat, |left| left.min(heartbeat));
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() {
                return lease.close();
            },
            () = acks.moved() => {}
            () = tokio::time::sleep(again) => {}
        }
        // They change with every entry.
        tokio::time::sleep_until(looked + LOOK_EVERY).await;
    }
}

fn seen(metrics: &Metrics, acks: &Acks, me: u64, now: Instant) -> Seen {
    let term = metrics.current_term;
    let leads = metrics.state == ServerState::Leader;
    let configs = metrics.membership_config.membership().get_joint_config();
    Seen {
        term,
        leads,
        applied_term: metrics.last_applied.as_ref().map(|id| plain(id).0),
        quorum: if leads {
            quorum_sent(configs, me, now, &acks.last(term))
        } else {
            None
        },
    }
}

fn change(metrics: &Metrics, me: u64) -> LeaderChange {
    let leader = metrics.current_leader;
    let nodes = metrics.membership_config.membership();
    LeaderChange {
        term: metrics.current_term,
        leader: leader.map(|id| {
            let info = nodes.get_node(&id).cloned().unwrap_or_default();
            Leader {
                id: display_id(id),
                name: info.name,
                address: info.address,
            }
        }),
        is_here: leader == Some(me),
    }
}

/// The latest moment by which a majority of each voter set had been sent what it then answered;
/// this node answers itself at once.
fn quorum_sent(
    configs: &[BTreeSet<u64>],
    me: u64,
    now: Instant,
    sent: &BTreeMap<u64, Instant>,
) -> Option<Instant> {
    let of = |voters: &BTreeSet<u64>| {
        let answered = |id: &u64| (*id == me).then_some(now).or_else(|| sent.get(id).copied());
        let mut times: Vec<_> = voters.iter().filter_map(answered).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(voters.len() / 2).copied()
    };
    let of_each: Option<Vec<_>> = configs.iter().map(of).collect();
    of_each?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMERS: Timers = Timers {
        heartbeat_ms: 100,
        election_min_ms: 30_000,
        election_max_ms: 60_000,
    };

    fn led(term: u64) -> Seen {
        Seen {
            term,
            leads: true,
            applied_term: Some(term),
            quorum: Some(Instant::now()),
        }
    }

    fn present(lease: &Lease) -> Option<LeaderToken> {
        lease.tokens().borrow().clone()
    }

    fn times(now: Instant, ago_ms: &[(u64, u64)]) -> BTreeMap<u64, Instant> {
        let at = |(id, ago)| (id, now - Duration::from_millis(ago));
        ago_ms.iter().copied().map(at).collect()
    }

    #[test]
    fn a_quorum_is_as_late_as_its_last_voter() {
        let now = Instant::now() + Duration::from_secs(10);
        let ago = |configs: &[&[u64]], sent: &[(u64, u64)]| {
            let configs: Vec<_> = configs
                .iter()
                .map(|ids| ids.iter().copied().collect())
                .collect();
            quorum_sent(&configs, 1, now, &times(now, sent)).map(|at| (now - at).as_millis())
        };
        assert_eq!(ago(&[&[1]], &[]), Some(0));
        assert_eq!(ago(&[&[1, 2]], &[]), None);
        assert_eq!(ago(&[&[1, 2]], &[(2, 7)]), Some(7));
        assert_eq!(ago(&[&[1, 2, 3]], &[(2, 7), (3, 5)]), Some(5));
        assert_eq!(ago(&[&[1, 2, 3, 4, 5]], &[(2, 7), (3, 5)]), Some(7));
        // A joint configuration needs both; one that leaves this node out does not count it.
        assert_eq!(ago(&[&[1, 2], &[2, 3]], &[(2, 7), (3, 9)]), Some(9));
        assert_eq!(ago(&[&[2, 3]], &[(2, 7)]), None);
        assert_eq!(ago(&[], &[]), None);
    }

    #[test]
    fn no_token_before_the_first_entry_of_the_term_is_applied() {
        let lease = Lease::new(TIMERS, 1);
        lease.look(&Seen {
            applied_term: Some(2),
            ..led(3)
        });
        assert!(present(&lease).is_none());
        lease.look(&led(3));
        assert_eq!(present(&lease).map(|token| token.term()), Some(3));
    }

    #[test]
    fn no_token_without_an_answer_of_a_quorum_and_none_on_an_old_one() {
        let lease = Lease::new(TIMERS, 1);
        lease.look(&Seen {
            quorum: None,
            ..led(3)
        });
        lease.look(&Seen {
            quorum: Instant::now().checked_sub(Duration::from_secs(55)),
            ..led(3)
        });
        assert!(present(&lease).is_none());
    }

    #[test]
    fn a_token_ends_when_the_lead_is_lost_and_the_next_is_another() {
        let lease = Lease::new(TIMERS, 1);
        lease.look(&led(3));
        let first = present(&lease).unwrap();
        lease.look(&Seen {
            leads: false,
            ..led(4)
        });
        assert!(!first.is_valid());
        lease.look(&led(5));
        assert!(!first.is_valid());
        assert!(present(&lease).unwrap().is_valid());
    }

    #[test]
    fn a_later_term_ends_the_token_even_if_no_loss_was_seen_between() {
        let lease = Lease::new(TIMERS, 1);
        lease.look(&led(3));
        let first = present(&lease).unwrap();
        lease.look(&Seen {
            quorum: None,
            ..led(4)
        });
        assert!(!first.is_valid());
    }

    #[test]
    fn touch_regained_in_one_term_gives_a_new_token_and_not_the_old_one() {
        let lease = Lease::new(TIMERS, 1);
        lease.look(&led(3));
        let first = present(&lease).unwrap();
        first.revoke();
        lease.look(&led(3));
        assert!(!first.is_valid());
        let second = present(&lease).unwrap();
        assert!(second.is_valid());
        assert_eq!(second.term(), 3);
    }

    #[tokio::test]
    async fn a_handover_ends_the_token_before_it_is_asked_for_and_for_the_whole_term() {
        let lease = Lease::new(TIMERS, 1);
        lease.look(&led(3));
        let token = present(&lease).unwrap();
        let asking = async {
            assert!(!token.is_valid());
            // A quorum goes on answering meanwhile.
            lease.look(&led(3));
            assert!(!present(&lease).unwrap().is_valid());
            Ok::<_, ()>(3)
        };
        lease.hand_over(asking).await.unwrap();
        lease.look(&led(3));
        assert!(!present(&lease).unwrap().is_valid());
        lease.look(&led(4));
        assert!(present(&lease).unwrap().is_valid());
    }

    #[tokio::test]
    async fn a_handover_whose_term_is_not_known_ends_all_tokens() {
        let lease = Lease::new(TIMERS, 1);
        assert_eq!(lease.hand_over(async { Err(()) }).await, Err(()));
        lease.look(&led(9));
        assert!(present(&lease).is_none());
    }

    #[test]
    fn a_stopped_node_has_no_token() {
        let lease = Lease::new(TIMERS, 1);
        lease.look(&led(3));
        lease.close();
        assert!(!present(&lease).unwrap().is_valid());
        lease.look(&led(4));
        assert!(!present(&lease).unwrap().is_valid());
    }
}
