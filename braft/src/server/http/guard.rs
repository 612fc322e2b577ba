//! Tokens over HTTP: who is asked for one, and what for.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::refusal::refuse;
use crate::access::{Grant, News, Role, Tokens, bearer};

/// What everybody may ask: an orchestrator's probes have no token.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// Where the calls of services are, if they are served in JSON: they are looked at one by one.
const CALLS: &str = "/v1/";
/// How programs show a token, and how a browser asks its user for one.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"braft\"");
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"braft\", charset=\"UTF-8\"");

struct Guard {
    tokens: Tokens,
    has_calls: bool,
    news: News,
}

/// Where a request comes from, if it came over a port of the node's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromIp(pub(super) IpAddr);

/// Asks those who call these routes for a token; `has_calls` if services are among them.
pub(crate) fn guarded(router: Router, tokens: Option<Tokens>, has_calls: bool) -> Router {
    let Some(tokens) = tokens else {
        return router;
    };
    let guard = Guard {
        tokens,
        has_calls,
        news: News::default(),
    };
    router.layer(from_fn_with_state(Arc::new(guard), guard_route))
}

async fn guard_route(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if OPEN.contains(&path) {
        return next.run(request).await;
    }
    let needed = guard.needed(request.method(), path);
    match guard.grant(&request, needed) {
        Ok(grant) => {
            request.extensions_mut().insert(grant);
            next.run(request).await
        }
        Err(refused) => *refused,
    }
}

impl Guard {
    /// What a request needs before its route is asked.
    fn needed(&self, method: &Method, path: &str) -> Role {
        let only_looks = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if only_looks || self.is_call(path) {
            Role::Read
        } else {
            Role::Write
        }
    }

    fn is_call(&self, path: &str) -> bool {
        self.has_calls && path.starts_with(CALLS)
    }

    fn grant(&self, request: &Request, needed: Role) -> Result<Arc<Grant>, Box<Response>> {
        let only_looks = matches!(*request.method(), Method::GET | Method::HEAD);
        // A browser shows it to whatever page asks; such a page may not change anything but by a
        // call, which looks at where it comes from.
        let is_for_browsers = only_looks || self.is_call(request.uri().path());
        let shown = token(request.headers(), is_for_browsers);
        let Some(grant) = shown.as_deref().and_then(|shown| self.tokens.grant(shown)) else {
            let why = match shown {
                Some(_) => "this node does not know the token that is shown".to_owned(),
                None => {
                    format!("show a token with the role {needed}: `authorization: Bearer …`")
                }
            };
            self.tell(request, &why);
            let mut refused = refuse(StatusCode::UNAUTHORIZED, "rejected", &why);
            let headers = refused.headers_mut();
            headers.append(header::WWW_AUTHENTICATE, BEARER);
            if only_looks {
                headers.append(header::WWW_AUTHENTICATE, BASIC);
            }
            return Err(Box::new(refused));
        };
        if !grant.may(needed) {
            let why = grant.refusal("this", needed);
            self.tell(request, &why);
            let refused = refuse(StatusCode::FORBIDDEN, "rejected", &why);
            return Err(Box::new(refused));
        }
        Ok(grant)
    }

    fn tell(&self, request: &Request, why: &str) {
        let from = request.extensions().get::<FromIp>().map(|from| from.0);
        if self.news.is_new(&format!("{from:?} {why}")) {
            tracing::warn!(target: "braft::audit", ?from, "refused over HTTP: {why}");
        }
    }
}

/// The token of a request. A browser sends it as the password of any name.
fn token(headers: &HeaderMap, is_for_browsers: bool) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    if let Some(token) = bearer(value) {
        return Some(token.to_owned());
    }
    let (scheme, encoded) = value.split_once(' ')?;
    if !is_for_browsers || !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (_, token) = pair.split_once(':')?;
    Some(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_as_programs_and_browsers_send_it() {
        let of = |value: &str, is_for_browsers| {
            let value = HeaderValue::from_str(value).expect("a value");
            token(
                &HeaderMap::from_iter([(header::AUTHORIZATION, value)]),
                is_for_browsers,
            )
        };
        assert_eq!(of("Bearer abc", false).as_deref(), Some("abc"));
        assert_eq!(of("Basic bWU6YWJj", true).as_deref(), Some("abc"));
        assert_eq!(of("Basic bWU6YWJj", false), None);
        for wrong in ["abc", "Basic", "Basic *", "Basic YWJj", "Digest abc"] {
            assert_eq!(of(wrong, true), None, "{wrong}");
        }
    }
}
