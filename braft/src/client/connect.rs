//! The first contact with a cluster.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::select_all;
use http::uri::Authority;
use tokio::time::{sleep, timeout};

use super::caller::Caller;
use super::hop::Remote;
use super::link::ClusterPin;
use super::pool::Pool;
use crate::error::Error;
use crate::net::Dialer;

/// How long the addresses are tried until one answers.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at an address that does not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// Connects to whichever address answers first; the others serve when it fails.
pub(super) async fn connect(addresses: Vec<String>, dialer: Dialer) -> Result<Caller, Error> {
    let addresses = check(addresses)?;
    let pool = Pool::new(ClusterPin::default(), dialer);
    // Why each address did not answer yet.
    let reasons = Mutex::new(vec![Arc::<str>::from("no answer"); addresses.len()]);
    let denials = AtomicUsize::new(0);
    let attempts = addresses.iter().enumerate().map(|(index, address)| {
        let (pool, reasons, denials) = (&pool, &reasons, &denials);
        let all = addresses.len();
        Box::pin(async move {
            loop {
                let (reason, is_denied) = match pool.link(address) {
                    Ok(link) => match link.opened().await {
                        Ok(()) => return Some(index),
                        Err(reason) => (reason, link.is_denied()),
                    },
                    Err(reason) => (reason, false),
                };
                reasons.lock().unwrap_or_else(PoisonError::into_inner)[index] = reason;
                if is_denied {
                    // One of the others may know the token already.
                    if denials.fetch_add(1, Ordering::Relaxed) + 1 == all {
                        return None;
                    }
                    pending::<()>().await;
                }
                sleep(PAUSE).await;
            }
        })
    });
    let first = timeout(CONNECT_WITHIN, select_all(attempts))
        .await
        .map(|(first, ..)| first);
    match first {
        Ok(Some(first)) => Ok(Caller::remote(Remote::new(pool, addresses, first))),
        failed => {
            let reasons = reasons.into_inner().unwrap_or_else(PoisonError::into_inner);
            let tried = tried(&addresses, &reasons);
            Err(match failed {
                Ok(_) => Error::rejected(format!("no node lets this client in: {tried}")),
                Err(_) => Error::unavailable(format!(
                    "no node answered within {CONNECT_WITHIN:?}; tried {tried}"
                )),
            })
        }
    }
}

/// The way to these addresses, connected on the first call.
#[cfg(feature = "testing")]
pub(super) fn lazy(addresses: Vec<String>, dialer: Dialer) -> Remote {
    let pool = Pool::new(ClusterPin::default(), dialer);
    let addresses = addresses.into_iter().map(Arc::from).collect();
    Remote::new(pool, addresses, 0)
}

fn check(addresses: Vec<String>) -> Result<Vec<Arc<str>>, Error> {
    if addresses.is_empty() {
        return Err(Error::rejected(
            "no address to connect to; give at least one, as \"host:port\"",
        ));
    }
    let wrong: Vec<_> = addresses
        .iter()
        .filter(|address| !is_address(address))
        .map(|address| format!("\"{address}\""))
        .collect();
    if !wrong.is_empty() {
        return Err(Error::rejected(format!(
            "not an address: {}; write \"host:port\", IPv6 as \"[::1]:port\"",
            wrong.join(", ")
        )));
    }
    Ok(addresses.into_iter().map(Arc::from).collect())
}

fn is_address(address: &str) -> bool {
    address.parse::<Authority>().is_ok_and(|authority| {
        !authority.host().is_empty()
            && !address.contains('@')
            && authority.port_u16().is_some_and(|port| port > 0)
    })
}

/// Why none of the addresses will do.
fn tried(addresses: &[Arc<str>], reasons: &[Arc<str>]) -> String {
    let tried: Vec<_> = addresses
        .iter()
        .zip(reasons)
        .map(|(address, reason)| format!("{address} ({reason})"))
        .collect();
    tried.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_all_at_once() {
        let addresses = ["a:1", "[::1]:2", "nohost", ":3", "b:0", "b:70000", "u@c:4"];
        let error = check(addresses.map(str::to_owned).to_vec()).unwrap_err();
        let text = error.to_string();
        for wrong in [
            "\"nohost\"",
            "\":3\"",
            "\"b:0\"",
            "\"b:70000\"",
            "\"u@c:4\"",
        ] {
            assert!(text.contains(wrong), "{text}");
        }
        assert!(!text.contains("\"a:1\"") && !text.contains("\"[::1]:2\""));
        assert!(check(Vec::new()).is_err());
    }
}
