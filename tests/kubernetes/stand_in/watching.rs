//! Watch: events, bookmarks, ends.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch as version_watch;
use tokio::time::Instant;

use super::serve::refusal;
use super::store::{Gone, Scope};
use super::{Command, Shared};

/// The longest a watch lasts when the client names no time.
const LONGEST_SECONDS: u64 = 1_800;

/// One open watch.
struct Watching {
    shared: Arc<Shared>,
    scope: Scope,
    /// What has been sent goes up to here.
    version: u64,
    bookmarks: bool,
    end: Instant,
    versions: version_watch::Receiver<u64>,
    commands: broadcast::Receiver<Command>,
    /// Pieces of lines to be sent: an event need not come in one piece.
    pieces: VecDeque<Result<Bytes, io::Error>>,
    ended: bool,
}

/// Answers with a stream of events after a version.
pub(crate) fn watch(
    shared: Arc<Shared>,
    scope: Scope,
    version: &str,
    parameters: &HashMap<String, String>,
) -> Response {
    let seconds = parameters.get("timeoutSeconds");
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    let watching = Watching {
        version: version.parse().unwrap_or(0),
        bookmarks: parameters
            .get("allowWatchBookmarks")
            .is_some_and(|it| it == "true"),
        end: Instant::now() + Duration::from_secs(seconds.unwrap_or(LONGEST_SECONDS)),
        versions: shared.version.subscribe(),
        commands: shared.commands.subscribe(),
        pieces: VecDeque::new(),
        ended: false,
        scope,
        shared,
    };
    watching.shared.watches.send_modify(|open| *open += 1);
    let pieces = stream::unfold(watching, |mut watching| async move {
        let piece = watching.next().await?;
        Some((piece, watching))
    });
    let headers = [("content-type", "application/json")];
    (headers, Body::from_stream(pieces)).into_response()
}

impl Watching {
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Some(piece);
            }
            if self.ended {
                return None;
            }
            if self.queue_changes() {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(self.end) => self.ended = true,
                changed = self.versions.changed() => self.ended = changed.is_err(),
                command = self.commands.recv() => match command {
                    Ok(command) => self.obey(command),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => self.ended = true,
                },
            }
        }
    }

    /// Whether there were any.
    fn queue_changes(&mut self) -> bool {
        let (changes, version) = {
            let state = self.shared.state();
            let changes = state.store.changes(&self.scope, self.version);
            (changes, state.store.version())
        };
        match changes {
            Ok(events) => {
                self.version = version;
                for event in &events {
                    self.send(event);
                }
                !events.is_empty()
            }
            Err(Gone) => {
                self.obey(Command::Error(410));
                true
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Bookmark if self.bookmarks => {
                self.queue_changes();
                let kind = self.scope.kind;
                let object = json!({
                    "kind": kind.name(),
                    "apiVersion": kind.api_version(),
                    "metadata": {"resourceVersion": self.version.to_string()},
                });
                self.send(&json!({"type": "BOOKMARK", "object": object}));
                self.shared.bookmarks.send_modify(|sent| *sent += 1);
            }
            Command::Bookmark => {}
            Command::End => self.ended = true,
            Command::Break => {
                let torn = Bytes::from_static(br#"{"type":"ADDED","object":{"kind"#);
                self.pieces.push_back(Ok(torn));
                let broken = io::ErrorKind::ConnectionReset;
                self.pieces.push_back(Err(broken.into()));
                self.ended = true;
            }
            Command::Error(code) => {
                self.send(&json!({"type": "ERROR", "object": refusal(code)}));
                self.ended = true;
            }
        }
    }

    fn send(&mut self, event: &Value) {
        let line = Bytes::from(format!("{event}\n"));
        let middle = line.len() / 2;
        self.pieces.push_back(Ok(line.slice(..middle)));
        self.pieces.push_back(Ok(line.slice(middle..)));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.shared.watches.send_modify(|open| *open -= 1);
    }
}
