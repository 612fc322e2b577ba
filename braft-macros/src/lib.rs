//! The attribute macros of braft; use them through the `braft` crate.
//!
//! # Map of the crate
//! An attribute's input goes through the modules in this order:
//!
//! | module | does |
//! |---|---|
//! | `ast` | parses the item and says what it is: a state or its operations |
//! | `attr` | reads the attributes' options |
//! | `generate` | reads which functions make values of types for checks |
//! | `versions` | reads since when something is there, and from when it is gone |
//! | `valid` | turns methods into operations, reporting every mistake the tokens show |
//! | `lint` | finds what makes replicas differ |
//! | `expand` | writes the code for valid input |
//! | `fallback` | writes the code for refused input, so that no second error follows |
//! | `test` | `#[braft::test]` |

mod ast;
mod attr;
mod expand;
mod fallback;
mod generate;
mod lint;
mod problems;
#[cfg(test)]
mod snapshots;
mod test;
mod types;
mod valid;
mod versions;

use proc_macro::TokenStream;

/// Makes a struct a replicated service: put it on the struct and on its `impl` block.
///
/// # On the struct
/// The struct is the state. It needs `Default`, `Serialize` and `Deserialize`; nothing is derived
/// for you. The attribute adds the typed client, `CounterClient` for `Counter`, with the struct's
/// visibility.
///
/// * `name = "…"`: the name that routes calls and names the state in snapshots; by default the
///   struct's. It must stay the same for the life of a cluster.
/// * `version = 2`: see below.
/// * `migrate = path`: a function that makes this state out of that of an older version, which is a
///   service of the same name.
/// * `crate = path`: where braft is, if it is not `::braft`.
///
/// Each field's type and its type arguments are checked, through aliases too: `HashMap`,
/// `HashSet`, `Mutex`, `RwLock`, atomics and cells are refused, and so is what does not survive a
/// snapshot: `Option<Option<_>>`, `Option<()>`, `#[serde(skip)]`. What a type of your own contains
/// is not looked into.
///
/// # On the `impl` block
/// Methods with `&mut self` are commands, which go through the log; methods with `&self` are
/// queries. Any visibility will do, and the client's method has the same. `#[local]` keeps a method
/// out; functions without `self`, constants, types and what a macro writes are left alone. The `impl` block names the
/// state by a path through which `…Client` can be named as well: import both.
///
/// * Arguments are data that serde can write and read back. `&str`, `&[T]` and `&T` travel owned.
///   **An argument's name is part of the format of the log**, as are the method's name and the
///   types. Rename a method with `#[command(name = "old name")]` or `#[query(name = "old name")]`.
/// * `HashMap` and `HashSet` in a command's arguments and answer are refused: each replica would
///   iterate in an order of its own.
/// * The answer is exactly what the method returns, `Result` included. Borrowed answers, such as
///   `Option<&str>`, reach the caller owned. An `Err` does not undo what the method did: validate
///   first, then change the state.
/// * An optional first argument `&mut Context<E>` (in queries `&Context<E>`) gives time, randomness
///   and the position in the log. It is recognised by the name `Context`; an alias is not. All
///   contexts of a service have the same `E`.
/// * `#[timer] fn expire(&mut self, context: &mut Context<E>)` is run by the cluster, once for each
///   time that `context.wake_at(time)` was given; the context may be left out. No client can call
///   it. A service has one timer: keep what is due in the state, and let the timer see to all that
///   `context.now()` has reached.
/// * `#[arg(generate = path)]` before an argument names a function, `fn(&mut braft::Rng) -> T`, that
///   makes values of it for `braft::testing::check`, where they cannot be invented from the type's
///   `Deserialize`: types that describe themselves (untagged, flattened), or refuse most values. `T`
///   is the type as it travels, `String` for `&str`. Nothing else calls it.
/// * `#[raft_service(generate(Email = path, Amount = path))]` on the `impl` block names such functions
///   for types, wherever they are inside arguments: `Vec<Option<Email>>`, the fields of other types. A
///   function that is named for an argument comes first. Not found is what serde reads without asking
///   for it by its type, such as the only field of a newtype: name the function for the newtype.
/// * `crate = path`, as on the struct.
///
/// A client's methods take no name that matters elsewhere: what a client can do besides is in
/// traits. Only a method called `into` or `try_into` needs `CounterClient::into(&client, …)`, since
/// Rust prefers the prelude's method of that name.
///
/// # Versions
/// Nodes are upgraded one by one, so for a while old and new binaries carry out the same commands.
/// A change that older ones do not know belongs to a later version of the service, which becomes
/// active when all nodes have it; until then a node with the new binary behaves like the old ones.
/// Once a version is active, binaries without it do not start any more.
///
/// * `#[command(since = 2)]`: a command that came with version 2. Before that it is refused.
/// * `#[command(removed = 3)]`: from version 3 on it is refused, and the client has no method for
///   it. The method stays, since the log may hold calls of it; it may go in a later version still.
/// * `#[arg(since = 2)]`: an argument of type `Option` that came with version 2. `#[arg(name =
///   "old name")]` goes on using the old name in the log.
/// * `#[field(since = 2)]`: a field of the state (`Default + PartialEq`), which commands of version
///   2 use first. `#[derive(…)]` has to stand below `#[raft_service]`.
/// * What a command does may differ only by version: see `Context::version`.
/// * Any other change of the state is a new struct, with `migrate`. The old struct and its `impl`
///   block stay, in a module of their own, until a later version: they serve until then.
///
/// `braft::testing::schema_lock` finds changes that lack this.
///
/// # Determinism
/// Every replica runs every command, so a command may depend on the state, its arguments and its
/// context only. The tokens of each method with `&mut self` are searched for what certainly breaks
/// this (clocks, random numbers, files, sockets, threads, tasks, the environment), by these paths:
/// `SystemTime::now`, `Instant::now`, `Utc::now`, `Local::now`, `OffsetDateTime::now_utc`,
/// `Uuid::new_v4`, `Uuid::now_v7`, `rand::random`, `rand::rng`, `thread_rng`, `std::env`,
/// `std::fs`, `std::thread`, `std::net::{TcpStream, TcpListener, UdpSocket}`,
/// `tokio::{spawn, fs, net}`, `tokio::time::{sleep, Instant}` and `.await`.
/// What hides behind another name, such as a function that calls one of these, escapes.
/// `#[command(nondeterministic = "reason")]`, and the same with `#[timer]` and `#[local]`, is the
/// way out where the result does not reach the state or the answer.
#[proc_macro_attribute]
pub fn raft_service(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::raft_service(options.into(), item.into()).into()
}

/// Runs an `async fn` as a test on a cluster of its own.
///
/// The function takes the cluster, `cluster: Cluster<S>`, and returns a `TestResult`. It starts
/// with `nodes = 3` unless the attribute says otherwise (1 to 9). `crate = path` says where braft
/// is, if not at `::braft`. Attributes of tests, such as `#[ignore]` and `#[should_panic]`, work.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    test::expand(options.into(), item.into()).into()
}
