//! One call of a service.

use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};

use super::args::{Args, CallArgs};
use super::failure::Failure;
use super::http::{Http, problem, text};
use super::screen::Screen;

/// How far a caller has seen the state: given in each answer, given back with the next request.
const POSITION: &str = "braft-position";
/// The level of reads that see what their caller has seen.
const SESSION: &str = "session";
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn call(args: &Args, call: &CallArgs, screen: &mut Screen) -> Result<(), Failure> {
    if call.read.as_deref() == Some(SESSION) && call.position.is_none() {
        let text = "a session read sees what you have seen before; name a file with --position, in \
                    which that is kept from call to call";
        return Err(Failure::Refused(text.to_owned()));
    }
    let until = Instant::now() + args.timeout;
    // Why the last attempt was lost that may have been carried out.
    let mut lost = None;
    loop {
        let failure = match (attempt(args, call, until).await, lost.take()) {
            (Ok(answer), _) => {
                screen.say(answer);
                return Ok(());
            }
            // That nothing came of this attempt says nothing of those before.
            (Err(Failure::Unavailable(_)), Some(lost)) => Failure::Unknown(lost),
            (Err(failure), _) => failure,
        };
        // Under its key a command may be sent as often as one likes.
        let may_repeat = match failure {
            Failure::Unavailable(_) => true,
            Failure::Unknown(_) => call.key.is_some(),
            _ => false,
        };
        if !may_repeat || Instant::now() + PAUSE >= until {
            return Err(failure);
        }
        if let Failure::Unknown(why) = failure {
            lost = Some(why);
        }
        sleep(PAUSE).await;
    }
}

/// How far the caller has seen the state, if it has seen anything.
fn seen(path: &Path) -> Result<Option<HeaderValue>, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        let path = path.display();
        Failure::Refused(format!(
            "no position can be read from {path}: {why}; remove it to begin anew"
        ))
    };
    // Nothing is asked whose answer could not be kept.
    let opened = fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| {
        Failure::Refused(format!("{} cannot be written: {error}", path.display()))
    })?;
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => match HeaderValue::from_str(text.trim()) {
            Ok(position) => Ok(Some(position)),
            Err(error) => Err(unusable(&error)),
        },
        Err(error) => Err(unusable(&error)),
    }
}

async fn attempt(args: &Args, call: &CallArgs, until: Instant) -> Result<String, Failure> {
    let mut http = Http::connect(args, &call.http, until).await?;
    let read = call.read.as_deref().map(|level| format!("?read={level}"));
    let path = format!(
        "/v1/{}/{}{}",
        call.service,
        call.method,
        read.unwrap_or_default()
    );
    let seen = call.position.as_deref().map(seen).transpose()?.flatten();
    let left = until.saturating_duration_since(Instant::now());
    let mut request = http
        .request("POST", &path)?
        .header("content-type", "application/json")
        .header(
            "braft-timeout",
            format!("{}ms", left.as_millis().clamp(1, 60_000)),
        );
    if let Some(key) = &call.key {
        request = request.header("idempotency-key", key);
    }
    if let Some(seen) = seen {
        request = request.header(POSITION, seen);
    }
    let request = request.body(Body::from(call.arguments.clone()));
    let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
    let answer = timeout_at(until, async {
        let response = http.send(request).await?;
        let position = response.headers().get(POSITION).cloned();
        Ok::<_, String>((response.status(), position, text(response).await?))
    });
    let lost = |reason: String| {
        let remedy = match call.key {
            Some(_) => "repeat it under the same key",
            None => "look before you send a command again, and give it a --key next time",
        };
        Failure::Unknown(format!("{reason}; it may have been carried out: {remedy}"))
    };
    match answer.await {
        Ok(Ok((status, position, text))) => {
            keep(call, position, &text)?;
            match status {
                StatusCode::OK => Ok(text),
                _ => Err(problem(&http.address, status, &text)),
            }
        }
        Ok(Err(reason)) => Err(lost(reason)),
        Err(_) => Err(lost(format!("{} has not answered in time", http.address))),
    }
}

/// Keeps how far the caller has seen the state by now.
fn keep(call: &CallArgs, position: Option<HeaderValue>, answer: &str) -> Result<(), Failure> {
    let (Some(path), Some(position)) = (&call.position, position) else {
        return Ok(());
    };
    // A file that is cut off would be taken for one in which nothing was seen yet.
    let mut beside = path.clone().into_os_string();
    beside.push(".new");
    let written = fs::write(&beside, position.as_bytes()).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        let path = path.display();
        Failure::Damaged(format!(
            "{path} cannot be written: {error}; the answer was: {answer}"
        ))
    })
}
