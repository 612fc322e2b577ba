//! The optional context.

use std::time::{Duration, SystemTime};

use braft::raft_service;
use braft::testing::loopback;
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Dice {
    last: u64,
}

#[derive(Debug)]
struct Rolled;

#[raft_service]
impl Dice {
    fn roll(&mut self, context: &mut braft::Context<Rolled>, sides: u64) -> (u64, u64) {
        self.last = context.rng().below(sides);
        (context.log_position().index, self.last)
    }

    /// A command may look and not touch.
    fn when(&mut self, ctx: &braft::Context<Rolled>) -> SystemTime {
        ctx.now()
    }

    /// An argument may have the name that the expansion uses.
    fn collide(&mut self, context: u64, command: u64) -> u64 {
        context + command
    }

    fn caller(&mut self, context: &mut braft::Context<self::Rolled>) -> Option<u64> {
        context.request_id().map(|id| id.sequence)
    }

    fn seen(&self, context: &braft::Context<Rolled>, query: &str) -> (u64, String, bool) {
        let is_query = context.request_id().is_none();
        (context.log_position().index, query.to_owned(), is_query)
    }
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Clock;

mod own {
    pub(super) type Event = braft::NoEvents;
}

#[raft_service]
impl Clock {
    fn plain(&mut self, context: &mut braft::Context) -> u64 {
        context.log_position().index
    }

    fn spelled_out(&mut self, context: &mut braft::Context<braft::NoEvents>) -> u64 {
        context.log_position().index
    }
}

#[test]
fn the_event_type_is_read_off_the_context() {
    fn is<S: braft::Service<Event = E>, E>() {}
    is::<Dice, Rolled>();
    is::<Clock, own::Event>();
}

#[tokio::test]
async fn commands_see_position_time_and_the_same_chance_each_time() -> Result<(), braft::Error> {
    let (one, two) = (loopback::<Dice>(), loopback::<Dice>());
    for index in 1..20 {
        let (position, number) = one.roll(1000).await?;
        assert_eq!((position, number), two.roll(1000).await?);
        assert_eq!(position, index);
    }
    assert_eq!(one.caller().await?, Some(20));
    let times = (one.when().await?, one.when().await?);
    assert_eq!(
        times.1.duration_since(times.0).unwrap(),
        Duration::from_millis(1)
    );
    assert_eq!(one.collide(2, 3).await?, 5);
    Ok(())
}

#[tokio::test]
async fn queries_see_the_last_command() -> Result<(), braft::Error> {
    let dice = loopback::<Dice>();
    dice.roll(6).await?;
    assert_eq!(dice.seen("a").await?, (1, "a".to_owned(), true));
    assert_eq!(dice.seen("b").await?, (1, "b".to_owned(), true));
    let clock = loopback::<Clock>();
    assert_eq!((clock.plain().await?, clock.spelled_out().await?), (1, 2));
    Ok(())
}

/// A service is unit-tested as the plain struct it is.
#[test]
fn a_method_is_called_without_a_cluster() {
    let mut dice = Dice::default();
    let (index, number) = dice.roll(&mut braft::Context::for_test(7), 6);
    assert!(index == 1 && number < 6);
}
