//! Tasks that wake each other, with a relay and without.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, yield_now};

use super::*;

/// Counts how often the runtime polls a task.
struct Counted<F>(Pin<Box<F>>, Arc<AtomicUsize>);

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.as_mut().poll(cx)
    }
}

fn spawn<F>(future: F) -> (JoinHandle<F::Output>, Arc<AtomicUsize>)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let polls = Arc::default();
    let counted = Counted(Box::pin(Runs::new(future)), Arc::clone(&polls));
    (tokio::spawn(counted), polls)
}

fn polls(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

type Channel = (mpsc::UnboundedSender<u32>, mpsc::UnboundedReceiver<u32>);

/// Takes numbers and passes on the next ones.
async fn pass_on(mut from: mpsc::UnboundedReceiver<u32>, to: mpsc::UnboundedSender<u32>) {
    while let Some(number) = from.recv().await {
        to.send(number + 1).expect("somebody waits");
    }
}

/// How often the runtime polls the last two of three tasks in a row, of which the first begins a relay,
/// or none.
async fn row(with_relay: bool) -> [usize; 2] {
    let (first, mut a): Channel = mpsc::unbounded_channel();
    let (second, b): Channel = mpsc::unbounded_channel();
    let (third, c): Channel = mpsc::unbounded_channel();
    let (end, mut last): Channel = mpsc::unbounded_channel();
    let (begins, _) = spawn(async move {
        while let Some(number) = a.recv().await {
            if with_relay {
                begin();
            }
            second.send(number + 1).expect("somebody waits");
        }
    });
    let (one, of_one) = spawn(pass_on(b, third));
    let (two, of_two) = spawn(pass_on(c, end));
    while polls(&of_two) == 0 {
        yield_now().await;
    }
    first.send(1).expect("somebody waits");
    assert_eq!(last.recv().await, Some(4));
    let counted = [polls(&of_one), polls(&of_two)];
    drop(first);
    for task in [begins, one, two] {
        task.await.expect("ends");
    }
    counted
}

#[tokio::test]
async fn a_relay_runs_what_is_woken_without_the_runtime() {
    assert_eq!(row(true).await, [1, 1]);
}

#[tokio::test]
async fn without_a_relay_the_runtime_runs_each() {
    assert_eq!(row(false).await, [2, 2]);
}

#[tokio::test]
async fn a_panic_in_a_relay_ends_its_own_task_alone() {
    let (first, mut a): Channel = mpsc::unbounded_channel();
    let (second, mut b): Channel = mpsc::unbounded_channel();
    let (panics, polled) = spawn(async move {
        b.recv().await;
        panic!("on purpose, by a test");
    });
    let (begins, _) = spawn(async move {
        a.recv().await;
        begin();
        second.send(1).expect("somebody waits");
        a.recv().await
    });
    while polls(&polled) == 0 {
        yield_now().await;
    }
    first.send(1).expect("somebody waits");
    let error = panics.await.expect_err("it panics");
    assert!(error.is_panic(), "{error}");
    first.send(2).expect("somebody waits");
    assert_eq!(begins.await.expect("goes on"), Some(2));
}

/// Sends back what comes, one more, up to a number.
async fn play(mut from: mpsc::UnboundedReceiver<u32>, to: mpsc::UnboundedSender<u32>) {
    while let Some(number) = from.recv().await
        && number < 1000
    {
        begin();
        if to.send(number + 1).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_relay_has_an_end() {
    let (one, a): Channel = mpsc::unbounded_channel();
    let (two, b): Channel = mpsc::unbounded_channel();
    let (first, of_first) = spawn(play(a, two));
    let (second, of_second) = spawn(play(b, one.clone()));
    one.send(0).expect("somebody waits");
    drop(one);
    first.await.expect("ends");
    second.await.expect("ends");
    let turns = polls(&of_first) + polls(&of_second);
    assert!((100..=600).contains(&turns), "{turns}");
}

#[tokio::test]
async fn a_task_that_is_let_go_takes_all_of_it_along() {
    let held = Arc::new(());
    let (keep, mut waker) = mpsc::unbounded_channel();
    let inside = Arc::clone(&held);
    let (task, _) = spawn(std::future::poll_fn(move |cx| {
        assert_eq!(Arc::strong_count(&inside), 2);
        keep.send(cx.waker().clone()).expect("somebody waits");
        Poll::<()>::Pending
    }));
    let waker = waker.recv().await.expect("it is polled");
    task.abort();
    assert!(task.await.expect_err("was let go").is_cancelled());
    assert_eq!(Arc::strong_count(&held), 1);
    waker.wake();
}

#[test]
fn what_is_woken_while_it_runs_is_run_again_on_any_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    let total: u32 = runtime.block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (one, a): Channel = mpsc::unbounded_channel();
                let (two, b): Channel = mpsc::unbounded_channel();
                let (first, _) = spawn(play(a, two));
                let (second, _) = spawn(play(b, one.clone()));
                one.send(0).expect("somebody waits");
                async {
                    first.await.expect("ends");
                    second.await.expect("ends");
                    1
                }
            })
            .collect();
        let mut total = 0;
        for task in tasks {
            total += task.await;
        }
        total
    });
    assert_eq!(total, 8);
}

/// Whether a task goes on that pauses on a thread which another task then keeps busy.
fn goes_on_elsewhere<F>(pauses: impl FnOnce() -> F) -> bool
where
    F: Future<Output = ()> + Send + 'static,
{
    const LONGER_THAN_IT_TAKES: Duration = Duration::from_secs(20);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    let (is_kept, wait_for_kept) = std::sync::mpsc::channel::<()>();
    let (goes_on, wait_for_it) = std::sync::mpsc::channel();
    let (is_taken, wait_for_taken) = std::sync::mpsc::channel();
    // The other thread takes nothing before the first one is kept busy.
    runtime.spawn(async move {
        is_taken.send(()).expect("somebody waits");
        wait_for_kept.recv().expect("somebody keeps a thread busy");
    });
    wait_for_taken.recv().expect("it begins");
    let pauses = pauses();
    let kept = runtime.spawn(async move {
        let keeps = tokio::spawn(Runs::new(async move {
            is_kept.send(()).expect("somebody waits");
            wait_for_it.recv_timeout(LONGER_THAN_IT_TAKES).is_ok()
        }));
        // What was spawned last is run first.
        tokio::spawn(Runs::new(async move {
            pauses.await;
            // Nobody waits any more if it was too late.
            let _ = goes_on.send(());
        }));
        keeps.await.expect("ends")
    });
    runtime.block_on(kept).expect("ends")
}

#[test]
fn a_task_that_gives_way_waits_for_no_thread_that_is_kept_busy() {
    assert!(goes_on_elsewhere(GiveWay::default));
}

#[test]
fn a_task_whose_time_is_up_waits_for_no_thread_that_is_kept_busy() {
    assert!(goes_on_elsewhere(|| async {
        for _ in 0..1000 {
            tokio::task::coop::consume_budget().await;
        }
    }));
}
