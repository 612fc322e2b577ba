//! A service is a struct with methods: it is tested without a cluster, in microseconds.
//!
//! Run the tests with `cargo test --bin unit_test`; the program runs the same checks.

use std::time::SystemTime;

use braft::testing::loopback;
use braft::{Context, raft_service};
use serde::{Deserialize, Serialize};

/// Tickets with a number, a lucky digit and the time they were drawn.
#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Tickets {
    drawn: Vec<Ticket>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ticket {
    number: u64,
    lucky_digit: u64,
    at: SystemTime,
}

#[raft_service]
impl Tickets {
    /// Time and randomness come from the context, so every replica draws the same ticket.
    fn draw(&mut self, context: &mut Context) -> Ticket {
        let ticket = Ticket {
            number: self.drawn.len() as u64 + 1,
            lucky_digit: context.rng().below(10),
            at: context.now(),
        };
        self.drawn.push(ticket.clone());
        ticket
    }

    fn count(&self) -> u64 {
        self.drawn.len() as u64
    }
}

/// The methods themselves, with a context made from a seed.
fn the_same_seed_draws_the_same_ticket() {
    let draw = |seed| Tickets::default().draw(&mut Context::for_test(seed));
    assert_eq!(draw(7), draw(7));
    assert_eq!(draw(7).number, 1);
}

/// The generated client, through the codec but in this process.
async fn the_client_counts_what_was_drawn() -> Result<(), braft::Error> {
    let tickets = loopback::<Tickets>();
    assert_eq!(tickets.draw().await?.number, 1);
    assert_eq!(tickets.draw().await?.number, 2);
    assert_eq!(tickets.count().await?, 2);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), braft::Error> {
    the_same_seed_draws_the_same_ticket();
    the_client_counts_what_was_drawn().await?;
    println!("two tests passed, no cluster was needed");
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_same_seed_draws_the_same_ticket() {
        super::the_same_seed_draws_the_same_ticket();
    }

    #[tokio::test]
    async fn the_client_counts_what_was_drawn() -> Result<(), braft::Error> {
        super::the_client_counts_what_was_drawn().await
    }
}
