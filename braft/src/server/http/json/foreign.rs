//! Requests that pages of other origins make through a visitor's browser.
//!
//! A page from anywhere can let a browser post to an address that only the browser's user can reach.
//! Browsers say where a request comes from; programs say nothing of the kind.

use axum::http::{HeaderMap, header};

/// Whether a browser sends this for a page of another origin.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    origin.map(|(_, origin)| origin) != host
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_a_browser_sends_for_others_is_told_from_what_programs_send() {
        let is = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                let name = header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            is_foreign(&headers.collect())
        };
        assert!(!is(&[]));
        assert!(!is(&[("sec-fetch-site", "same-origin")]));
        assert!(!is(&[("origin", "http://a:15002"), ("host", "a:15002")]));
        assert!(is(&[("sec-fetch-site", "cross-site")]));
        assert!(is(&[("sec-fetch-site", "same-site")]));
        assert!(is(&[
            ("origin", "https://evil.example"),
            ("host", "a:15002")
        ]));
        assert!(is(&[("origin", "null"), ("host", "a:15002")]));
    }
}
