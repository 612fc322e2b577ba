//! One call of a service.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use tokio::time::{Instant, sleep, timeout_at};

use super::args::{Args, CallArgs};
use super::failure::Failure;
use super::http::{Http, problem, text};
use super::screen::Screen;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn call(args: &Args, call: &CallArgs, screen: &mut Screen) -> Result<(), Failure> {
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

async fn attempt(args: &Args, call: &CallArgs, until: Instant) -> Result<String, Failure> {
    let mut http = Http::connect(args, &call.http, until).await?;
    let read = call.read.as_deref().map(|level| format!("?read={level}"));
    let path = format!(
        "/v1/{}/{}{}",
        call.service,
        call.method,
        read.unwrap_or_default()
    );
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
    let request = request.body(Body::from(call.arguments.clone()));
    let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
    let answer = timeout_at(until, async {
        let response = http.send(request).await?;
        Ok::<_, String>((response.status(), text(response).await?))
    });
    let lost = |reason: String| {
        let remedy = match call.key {
            Some(_) => "repeat it under the same key",
            None => "look before you send a command again, and give it a --key next time",
        };
        Failure::Unknown(format!("{reason}; it may have been carried out: {remedy}"))
    };
    match answer.await {
        Ok(Ok((StatusCode::OK, answer))) => Ok(answer),
        Ok(Ok((status, text))) => Err(problem(&http.address, status, &text)),
        Ok(Err(reason)) => Err(lost(reason)),
        Err(_) => Err(lost(format!("{} has not answered in time", http.address))),
    }
}
