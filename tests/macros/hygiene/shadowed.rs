//! Types of the user's with names that the expansion might have used.

use serde::{Deserialize, Serialize};

macro_rules! shadow {
    ($($name:ident)*) => {$(
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[allow(dead_code)]
        struct $name(u8);
    )*};
}

shadow! {
    Result Option Vec Command Query Event Call Channel Client Service State Method Owned Error
    Probe Request CommandCall QueryCall NoEvents ToOwned From
}

#[braft::raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Shadow {
    result: Result,
    option: Option,
    command: Command,
}

#[braft::raft_service]
impl Shadow {
    fn swap(&mut self, command: Command, query: &Query, vec: Vec) -> Result {
        self.command = command;
        Result(self.command.0 + query.0 + vec.0)
    }

    fn all(
        &self,
        _context: &braft::Context,
        result: &Result,
        channel: Channel,
    ) -> (&Option, &Command, State, Method) {
        let (state, method) = (State(result.0), Method(channel.0));
        (&self.option, &self.command, state, method)
    }
}

#[tokio::test]
async fn the_users_types_are_the_ones_meant() {
    let client = braft::testing::loopback::<Shadow>();
    let answer = client.swap(Command(1), &Query(2), Vec(3)).await;
    assert_eq!(answer.expect("answers"), Result(6));
    let answer = client.all(&Result(4), Channel(5)).await;
    assert_eq!(
        answer.expect("answers"),
        (Option(0), Command(1), State(4), Method(5))
    );
}
