//! The tokens of members and of callers.

use super::layer::Layer;
use crate::access::{JoinToken, Tokens};

/// The tokens that are configured, read. What is wrong with them is told, and never what they are.
pub(super) fn access(
    layer: &Layer,
    mistakes: &mut Vec<String>,
) -> (Option<JoinToken>, Option<Tokens>) {
    let join = join(layer).unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        None
    });
    let tokens = layer.tokens_file.as_ref().map(|path| Tokens::load(path));
    let tokens = tokens.transpose().unwrap_or_else(|why| {
        mistakes.push(format!("BRAFT_TOKENS_FILE: {why}"));
        None
    });
    // Whoever is a member needs no token: something has to tell members from clients.
    let has_join = layer.join_token.is_some() || layer.join_token_file.is_some();
    if layer.tokens_file.is_some() && layer.tls_client_ca.is_none() && !has_join {
        mistakes.push(
            "BRAFT_TOKENS_FILE is set, and nothing tells members from clients, so that whoever calls \
             would be taken for a member and need no token; set BRAFT_JOIN_TOKEN_FILE, or \
             BRAFT_TLS_CLIENT_CA"
                .to_owned(),
        );
    }
    (join, tokens)
}

fn join(layer: &Layer) -> Result<Option<JoinToken>, String> {
    match (&layer.join_token, &layer.join_token_file) {
        (None, None) => Ok(None),
        (Some(text), None) => JoinToken::of_text(&text.0)
            .map(Some)
            .map_err(|why| format!("BRAFT_JOIN_TOKEN: {why}")),
        (None, Some(path)) => JoinToken::of_file(path)
            .map(Some)
            .map_err(|why| format!("BRAFT_JOIN_TOKEN_FILE: {why}")),
        (Some(_), Some(_)) => {
            Err("BRAFT_JOIN_TOKEN and BRAFT_JOIN_TOKEN_FILE are both set; set one".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layer::Hidden;
    use super::*;

    fn mistakes(layer: Layer) -> String {
        let mut mistakes = Vec::new();
        drop(access(&layer, &mut mistakes));
        let shown = format!("{layer:?} {mistakes:?}");
        assert!(!shown.contains("secret"), "{shown}");
        mistakes.join("; ")
    }

    #[test]
    fn tokens_that_would_protect_nothing_are_refused() {
        let hidden = |text: &str| Some(Hidden(text.to_owned()));
        let file = |name: &str| Some(std::path::PathBuf::from(name));
        assert_eq!(mistakes(Layer::default()), "");
        let sound = Layer {
            join_token: hidden("a-long-secret-of-all"),
            ..Layer::default()
        };
        assert_eq!(mistakes(sound), "");
        let short = Layer {
            join_token: hidden("secret"),
            ..Layer::default()
        };
        assert!(mistakes(short).contains("16 to 512 characters"));
        let both = Layer {
            join_token: hidden("a-long-secret-of-all"),
            join_token_file: file("/nowhere"),
            ..Layer::default()
        };
        assert!(mistakes(both).contains("are both set"));
        let alone = Layer {
            tokens_file: file("/nowhere"),
            ..Layer::default()
        };
        let text = mistakes(alone);
        assert!(
            text.contains("/nowhere") && text.contains("tells members from clients"),
            "{text}"
        );
    }
}
