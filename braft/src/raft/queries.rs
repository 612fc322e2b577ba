//! Reads whose time has come: the state has seen what they must see.
//!
//! They wait in one queue, and as many tasks as the runtime has threads work it off. With more, what
//! comes in from the network would get a small part of the processors only, and wait where nobody sees
//! it. With a queue of each task's own, a busy node would answer few reads at a time, at the price of a
//! change of thread for each few.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::drain::Drain;
use super::reader::{Admitted, TOO_LATE};
use super::state_machine::StateMachine;
use crate::request::{Refusal, Reply};
use crate::world;

/// How long queries may keep a turn. Those that take longer are carried out all the same, but hold up
/// no others.
const TURN: Duration = Duration::from_millis(100);

/// The queue, and who works it off. Its length is bounded by the places of those in it.
#[derive(Debug)]
pub(super) struct Queries {
    state: Mutex<State>,
    turns: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Admitted>,
    /// Tasks that work it off.
    working: usize,
}

impl Queries {
    pub(super) fn new(turns: usize) -> Self {
        Queries {
            state: Mutex::default(),
            turns: turns.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more task may work the queue off; then it has to.
    fn begin(&self, state: &mut State) -> bool {
        let begins = state.working < self.turns && !state.waiting.is_empty();
        state.working += usize::from(begins);
        begins
    }
}

/// A task's right to work the queue off.
struct Turn<'a> {
    machine: &'a StateMachine,
    is_over: bool,
}

impl<'a> Turn<'a> {
    fn after(machine: &'a StateMachine, add: impl FnOnce(&mut State)) -> Option<Self> {
        let queries = machine.queries();
        let mut state = queries.lock();
        add(&mut state);
        queries.begin(&mut state).then(|| Turn {
            machine,
            is_over: false,
        })
    }

    /// The next reads to carry out together, and those that are refused now because they cannot be
    /// reached in time: no work is spent on them. Nothing is left to be done if there are none of either,
    /// and the turn is over.
    fn next(&mut self, now: Instant) -> (Vec<Admitted>, Vec<Admitted>) {
        let mut state = self.machine.queries().lock();
        let Some(first) = state.waiting.front() else {
            state.working -= 1;
            self.is_over = true;
            return (Vec::new(), Vec::new());
        };
        let load = first.load().clone();
        take(&mut state.waiting, load.drain(), now)
    }
}

/// Whoever ends otherwise, by a panic for instance, leaves the queue to another.
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let queries = self.machine.queries();
        let mut state = queries.lock();
        state.working -= 1;
        // Where there is no runtime any more nobody waits either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && queries.begin(&mut state)
        {
            let machine = self.machine.clone();
            runtime.spawn(world::in_process(async move {
                let turn = Turn {
                    machine: &machine,
                    is_over: false,
                };
                work_off(turn).await;
            }));
        }
    }
}

/// Answers these reads after those that wait.
pub(super) async fn carry_out(machine: &StateMachine, reads: Vec<Admitted>) {
    if let Some(turn) = Turn::after(machine, |state| state.waiting.extend(reads)) {
        work_off(turn).await;
    }
}

async fn work_off(mut turn: Turn<'_>) {
    let machine = turn.machine;
    loop {
        let (reads, late) = turn.next(Instant::now());
        if turn.is_over {
            return;
        }
        refuse_late(late);
        if reads.is_empty() {
            continue;
        }
        let replica = machine.clone();
        // Queries may take long, and must not hold up the tasks of this thread.
        let running = machine.run_queries(reads.len(), move || answer(&replica, reads));
        tokio::pin!(running);
        tokio::select! {
            biased;
            () = &mut running => {}
            () = tokio::time::sleep(TURN) => {
                drop(turn);
                return running.await;
            }
        }
        tokio::task::yield_now().await;
    }
}

fn answer(machine: &StateMachine, reads: Vec<Admitted>) {
    let Some(first) = reads.first() else {
        return;
    };
    if machine.out_of_service().is_some() {
        return refuse_all(machine, reads);
    }
    let (begun, count, load) = (Instant::now(), reads.len(), first.load().clone());
    let queries = reads
        .iter()
        .map(|Admitted { read, .. }| (read.service.clone(), read.payload.clone()));
    let answers = machine.machine().query(queries.collect());
    let now = Instant::now();
    load.drain().note(count, begun, now);
    for (Admitted { read, .. }, answer) in reads.into_iter().zip(answers) {
        match answer {
            Ok((answer, index)) => {
                let result = Ok(answer);
                read.reply.send_at(Reply { index, result }, Some(now));
            }
            Err(refusal) => read.reply.refuse(refusal),
        }
    }
}

/// Refuses reads on which no work was spent.
fn refuse_late(reads: Vec<Admitted>) {
    for Admitted { read, .. } in reads {
        read.reply.refuse(Refusal::busy(TOO_LATE));
    }
}

/// Refuses reads because the state serves nothing at present.
pub(super) fn refuse_all(machine: &StateMachine, reads: Vec<Admitted>) {
    for Admitted { read, .. } in reads {
        let refusal = machine.out_of_service();
        read.reply
            .refuse(refusal.unwrap_or_else(|| Refusal::not_here("about to serve again", None)));
    }
}

/// Takes a batch from the queue, and out of the rest what would be answered too late.
fn take(
    waiting: &mut VecDeque<Admitted>,
    drain: &Drain,
    now: Instant,
) -> (Vec<Admitted>, Vec<Admitted>) {
    let most = drain.next_batch();
    let (mut some, mut late) = (Vec::new(), Vec::new());
    // Where one far behind cannot be reached in time the whole queue is looked through: who is refused is
    // told so while there is time for something else.
    let is_out_of_reach = |place: usize| {
        waiting.get(place).is_some_and(|admitted| {
            admitted.read.deadline <= now + drain.wait(place + 1, 1 + place / most)
        })
    };
    let (middle, last) = (waiting.len() / 2, waiting.len().saturating_sub(1));
    let looks_at_all = is_out_of_reach(middle) || is_out_of_reach(last);
    let mut kept = 0;
    for _ in 0..waiting.len() {
        if some.len() == most && !looks_at_all {
            break;
        }
        let Some(admitted) = waiting.pop_front() else {
            break;
        };
        // The first one is carried out in any case: what is expected may be wrong, and this shows.
        let takes = match kept {
            0 => Duration::ZERO,
            before => drain.wait(before + 1, 1 + before / most),
        };
        if admitted.read.deadline <= now + takes {
            late.push(admitted);
            continue;
        }
        kept += 1;
        if some.len() < most {
            some.push(admitted);
        } else {
            waiting.push_back(admitted);
        }
    }
    (some, late)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::super::load::Load;
    use super::super::reader::{Read, admit, load};
    use super::*;
    use crate::error::{ErrorKind, Outcome};
    use crate::request::ReplyTo;

    const ITEM: Duration = Duration::from_micros(100);

    /// A node on which it is known what a read takes.
    struct Reads {
        load: Arc<Load>,
        now: Instant,
        waiting: VecDeque<Admitted>,
        answers: Vec<oneshot::Receiver<Reply>>,
    }

    impl Reads {
        fn new() -> Self {
            let (load, mut now) = (load(), Instant::now());
            for items in [100, 200, 300, 400] {
                let begun = now;
                now += ITEM * items;
                load.drain().note(items as usize, begun, now);
            }
            Reads {
                load,
                // Far off by the clock, so that all are admitted.
                now: now + Duration::from_secs(60),
                waiting: VecDeque::new(),
                answers: Vec::new(),
            }
        }

        /// So many more wait, with the time that so many of them take.
        fn wait(mut self, count: usize, left: u32) -> Self {
            for _ in 0..count {
                let (reply, answer) = oneshot::channel();
                self.answers.push(answer);
                let read = Read {
                    service: "".into(),
                    payload: Bytes::new(),
                    min_index: 0,
                    deadline: self.now + ITEM * left,
                    reply: ReplyTo::Task(reply),
                };
                let admitted = admit(&self.load, read);
                self.waiting.push_back(admitted.expect("there is room"));
            }
            self
        }

        /// How many are carried out next, and how many are late: those are refused as busy, with
        /// nothing done.
        fn take(&mut self) -> (usize, usize) {
            let (some, refused) = take(&mut self.waiting, self.load.drain(), self.now);
            let late = refused.len();
            refuse_late(refused);
            let replies = self.answers.iter_mut();
            let replies = replies.filter_map(|answer| answer.try_recv().ok());
            let refusals: Vec<_> = replies.filter_map(|reply| reply.result.err()).collect();
            assert_eq!(refusals.len(), late);
            for refusal in refusals {
                assert_eq!(refusal.kind, ErrorKind::Busy);
                assert_eq!(refusal.outcome, Outcome::NotApplied);
            }
            (some.len(), late)
        }
    }

    #[test]
    fn reads_that_would_be_answered_too_late_are_refused_and_those_in_time_are_not() {
        let mut reads = Reads::new().wait(60, 600).wait(60, 70);
        let (some, late) = reads.take();
        assert!((60..80).contains(&some), "{some}");
        assert_eq!(some + late, 120);
        assert!(reads.waiting.is_empty());
    }

    #[test]
    fn reads_far_behind_are_refused_now_and_not_when_it_is_their_turn() {
        let most = Reads::new().load.drain().next_batch();
        let mut reads = Reads::new().wait(most + 60, 6000).wait(60, 70);
        assert_eq!(reads.take(), (most, 60));
        assert_eq!(reads.waiting.len(), 60);
    }
}
