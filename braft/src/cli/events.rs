//! The events of a service, one line for each.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep};

use super::args::{Args, EventsArgs};
use super::failure::Failure;
use super::http::{Http, problem, text};
use super::screen::Screen;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// The largest event; larger ones do not fit into an answer of a node.
const MAX_EVENT_BYTES: usize = 64 << 20;

/// Follows the events until as many have come as were asked for, or the user has seen enough.
pub(super) async fn events(
    args: &Args,
    events: &EventsArgs,
    screen: &mut Screen,
) -> Result<(), Failure> {
    tokio::select! {
        followed = follow(args, events, screen) => followed,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn follow(args: &Args, events: &EventsArgs, screen: &mut Screen) -> Result<(), Failure> {
    let mut place = Place {
        after: events.after.clone(),
        left: events.count,
    };
    let mut until = Instant::now() + args.timeout;
    loop {
        let before = place.after.clone();
        let failure = match read(args, events, &mut place, until, screen).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if place.after != before {
            until = Instant::now() + args.timeout;
        }
        // Another node goes on where this one has ended.
        if !matches!(failure, Failure::Unavailable(_)) || Instant::now() + PAUSE >= until {
            return Err(failure);
        }
        sleep(PAUSE).await;
    }
}

/// How far one has come.
struct Place {
    after: Option<String>,
    /// Events that are still wanted.
    left: Option<u64>,
}

/// Prints events until the stream ends.
async fn read(
    args: &Args,
    events: &EventsArgs,
    place: &mut Place,
    until: Instant,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if place.left == Some(0) {
        return Ok(());
    }
    let mut http = Http::connect(args, &events.http, until).await?;
    let after = place.after.as_ref().map(|after| format!("?after={after}"));
    let path = format!("/v1/{}/events{}", events.service, after.unwrap_or_default());
    let request = http.request("GET", &path)?.body(Body::empty());
    let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
    let response = http.send(request).await.map_err(Failure::Unavailable)?;
    let status = response.status();
    if status != StatusCode::OK {
        let text = text(response).await.map_err(Failure::Unavailable)?;
        return Err(problem(&http.address, status, &text));
    }
    let mut body = Body::new(response.into_body()).into_data_stream();
    let mut bytes = Vec::new();
    while let Some(more) = body.next().await {
        let more = more.map_err(|error| Failure::Unavailable(error.to_string()))?;
        bytes.extend_from_slice(&more);
        while let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = bytes.drain(..end + 2).collect();
            let sent = Sent::parse(&String::from_utf8_lossy(&block));
            if !sent.name.is_empty() {
                return Err(problem(&http.address, status, &sent.data));
            }
            if sent.id.is_empty() {
                continue;
            }
            screen.say(format!(
                r#"{{"position":"{}","event":{}}}"#,
                sent.id, sent.data
            ));
            place.after = Some(sent.id);
            place.left = place.left.map(|left| left - 1);
            if place.left == Some(0) {
                return Ok(());
            }
        }
        if bytes.len() > MAX_EVENT_BYTES {
            let text = format!(
                "{} sent an event above {MAX_EVENT_BYTES} bytes",
                http.address
            );
            return Err(Failure::Refused(text));
        }
    }
    Err(Failure::Unavailable(format!(
        "{} ended the stream",
        http.address
    )))
}

/// One server-sent event.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    id: String,
    name: String,
    data: String,
}

impl Sent {
    fn parse(block: &str) -> Self {
        let mut sent = Sent::default();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => value.clone_into(&mut sent.id),
                "event" => value.clone_into(&mut sent.name),
                "data" => sent.data += value,
                // Comments, which show that the stream is alive.
                _ => {}
            }
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_comments_and_endings() {
        let sent = Sent::parse("id: 11.0\ndata: {\"a\":\"b: c\"}\n\n");
        assert_eq!((sent.id.as_str(), sent.name.as_str()), ("11.0", ""));
        assert_eq!(sent.data, "{\"a\":\"b: c\"}");
        assert_eq!(Sent::parse(":\n\n"), Sent::default());
        assert_eq!(
            Sent::parse("event: compacted\ndata: {}\n\n").name,
            "compacted"
        );
    }
}
