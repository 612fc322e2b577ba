//! What becomes an operation, what does not, and how it is described.

use braft::testing::loopback;
use braft::{Method, Service, raft_service};
use serde::{Deserialize, Serialize};

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Desk {
    open: Vec<String>,
}

#[raft_service]
impl Desk {
    const LIMIT: usize = 2;

    fn with(ticket: &str) -> Self {
        Desk {
            open: vec![ticket.to_owned()],
        }
    }

    /// Opens a ticket
    /// for somebody.
    ///
    /// Not for everybody.
    #[must_use = "says whether there was room"]
    fn open(&mut self, #[allow(unused_mut)] mut ticket: String) -> bool {
        let fits = self.has_room();
        if fits {
            ticket.push('.');
            self.open.push(ticket);
        }
        fits
    }

    #[command(name = "close")]
    #[deprecated = "tickets close by themselves"]
    fn close_last(&mut self) -> Option<String> {
        self.open.pop()
    }

    #[command(nondeterministic = "only for the log of this process")]
    fn log(&mut self) -> usize {
        let _ = std::time::Instant::now();
        self.open.len()
    }

    #[query(name = "list")]
    fn all(&self) -> &[String] {
        &self.open
    }

    #[cfg(any())]
    fn absent(&self, item: Absent) -> Absent {
        item
    }

    #[cfg(not(any(unix, not(unix), test)))]
    fn absent_too(&self) {}

    #[cfg(any(unix, not(unix)))]
    fn present(&self) -> Option<Vec<Desk>> {
        None
    }

    #[local]
    fn has_room(&self) -> bool {
        self.open.len() < Self::LIMIT
    }

    #[local]
    fn consume(self) -> Vec<String> {
        self.open
    }

    #[local(nondeterministic = "never called by a command")]
    fn log_time<T: std::fmt::Debug>(&mut self, _extra: T) -> std::time::Instant {
        std::time::Instant::now()
    }
}

#[test]
fn methods_are_listed_with_name_kind_and_first_paragraph() {
    let described = |method: &Method| (method.name, method.is_command, method.doc);
    let methods: Vec<_> = Desk::METHODS.iter().map(described).collect();
    assert_eq!(
        methods,
        [
            ("open", true, "Opens a ticket for somebody."),
            ("close", true, ""),
            ("log", true, ""),
            ("list", false, ""),
            ("present", false, ""),
        ]
    );
}

#[tokio::test]
async fn operations_are_called_and_the_rest_stays_local() -> Result<(), braft::Error> {
    let desk = loopback::<Desk>();
    assert!(desk.open("a".to_owned()).await?);
    assert!(desk.open("b".to_owned()).await?);
    assert!(!desk.open("c".to_owned()).await?);
    assert_eq!(desk.all().await?, ["a.", "b."]);
    #[expect(
        deprecated,
        reason = "the client's method is deprecated like the service's"
    )]
    let closed = desk.close_last().await?;
    assert_eq!(closed, Some("b.".to_owned()));
    assert_eq!(desk.log().await?, 1);
    assert!(desk.present().await?.is_none());
    let mut local = Desk::with("a");
    local.log_time(());
    assert_eq!(local.consume(), ["a"]);
    Ok(())
}

#[raft_service]
#[derive(Default, Serialize, Deserialize)]
struct Nothing;

#[raft_service]
impl Nothing {}

#[test]
fn a_service_may_have_no_operations() {
    assert_eq!(Nothing::METHODS, []);
    let _client: NothingClient = loopback::<Nothing>();
}
