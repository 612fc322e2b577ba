//! The token that a caller shows.

use std::path::PathBuf;

use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use super::secret::Secret;
use super::watched::text_of;

/// Where tokens stand in a request, over gRPC and over HTTP.
pub(crate) const HEADER: &str = "authorization";
/// Where those who call what operators may say who they are: for the log, and proof of nothing.
pub(crate) const CALLER: &str = "braft-caller";
/// What stands before the token there; upper and lower case are the same.
const SCHEME: &str = "bearer";

/// One's own token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShownToken {
    Fixed(Secret),
    /// Read anew for each connection.
    File(PathBuf),
}

impl ShownToken {
    /// The token as it is now; an error names the file, and nothing of what is in it.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        match self {
            ShownToken::Fixed(secret) => Ok(secret.clone()),
            ShownToken::File(path) => Secret::new(text_of(path)?.trim())
                .map_err(|why| format!("{}: {why}", path.display())),
        }
    }

    /// What stands in the header.
    pub(crate) fn header(&self) -> Result<String, String> {
        Ok(format!("Bearer {}", self.read()?.text()))
    }

    /// Puts it into a request.
    pub(crate) fn show_in<T>(&self, mut request: Request<T>) -> Result<Request<T>, String> {
        let value: Result<MetadataValue<Ascii>, _> = self.header()?.parse();
        let mut value = value.map_err(|_| "the token cannot be sent".to_owned())?;
        value.set_sensitive(true);
        request.metadata_mut().insert(HEADER, value);
        Ok(request)
    }
}

/// What a caller says of itself, made fit for a header.
pub(crate) fn caller(text: &str) -> Option<MetadataValue<Ascii>> {
    let plain = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    };
    text.chars().map(plain).collect::<String>().parse().ok()
}

/// The token in the value of a header.
pub(crate) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case(SCHEME)
        .then(|| token.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_request_is_found_in_it_and_marked_as_secret() {
        let token = Secret::new("a-token-of-a-caller").expect("long enough");
        let request = ShownToken::Fixed(token)
            .show_in(Request::new(()))
            .expect("a header");
        let value = request.metadata().get(HEADER).expect("it is there");
        assert!(value.is_sensitive());
        let text = value.to_str().expect("text");
        assert_eq!(bearer(text), Some("a-token-of-a-caller"));
        assert!(!format!("{request:?}").contains("a-token"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("bearer  x"), Some("x"));
    }
}
