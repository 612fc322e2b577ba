//! A check of label selectors, so that a slip is a mistake at the start and not an error of the
//! API server later.
//!
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>

/// Longest name part of a label's key, and longest value.
const MAX_NAME: usize = 63;
/// Longest prefix of a label's key: a DNS name.
const MAX_PREFIX: usize = 253;

/// Why a text is not a label selector that picks nodes out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelector {
    /// A requirement that is not of one of the known forms.
    #[error(
        "label requirement {0:?} is not one: write app=kv, app!=kv, app in (kv,db), \
         app notin (kv), app or !app"
    )]
    Requirement(String),
    /// Only what is not wanted is said: nearly every pod would be contacted.
    #[error("label selector {0:?} fits nearly every pod: say which pods are nodes, such as app=kv")]
    NothingWanted(String),
}

/// Checks a selector.
pub(super) fn check(selector: &str) -> Result<(), InvalidSelector> {
    let mut wanted = false;
    for requirement in split(selector) {
        let requirement = requirement.trim();
        let Some(positive) = read(requirement) else {
            return Err(InvalidSelector::Requirement(requirement.to_owned()));
        };
        wanted |= positive;
    }
    if !wanted {
        return Err(InvalidSelector::NothingWanted(selector.to_owned()));
    }
    Ok(())
}

/// Splits at the commas outside of parentheses.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
}

/// Whether a requirement says what is wanted; `None` if it is none.
fn read(requirement: &str) -> Option<bool> {
    if let Some(key) = requirement.strip_prefix('!') {
        return is_key(key.trim()).then_some(false);
    }
    for (operator, positive) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = requirement.split_once(operator) {
            return (is_key(key.trim()) && is_value(value.trim())).then_some(positive);
        }
    }
    if let Some(list) = requirement.strip_suffix(')') {
        let (front, values) = list.split_once('(')?;
        let mut words = front.split_whitespace();
        let (key, operator) = (words.next()?, words.next()?);
        let positive = match operator {
            "in" => true,
            "notin" => false,
            _ => return None,
        };
        let sound = words.next().is_none()
            && is_key(key)
            && values.split(',').all(|value| is_value(value.trim()));
        return sound.then_some(positive);
    }
    is_key(requirement).then_some(true)
}

/// `name` or `prefix/name`.
fn is_key(key: &str) -> bool {
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let label = |label: &str| is_framed(label, inner, b"-");
            if prefix.len() > MAX_PREFIX || !prefix.split('.').all(label) {
                return false;
            }
            name
        }
    };
    is_name(name)
}

/// A value may be empty.
fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME && is_framed(name, |byte| byte.is_ascii_alphanumeric(), b"-_.")
}

/// Begins and ends with an outer byte, with outer and inner ones between.
pub(super) fn is_framed(text: &str, outer: impl Fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| outer(*byte))
        && bytes.last().is_some_and(|byte| outer(*byte))
        && bytes
            .iter()
            .all(|byte| outer(*byte) || inner.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_kubectl_are_taken() {
        for selector in [
            "app=kv",
            "app==KV-1",
            "app",
            "app.example.com/Name=a_b.c",
            "app=",
            "app in (kv, db)",
            "app in (kv),tier notin (web,cache),!old,env!=test",
        ] {
            assert_eq!(check(selector), Ok(()), "{selector}");
        }
    }

    #[test]
    fn slips_are_named() {
        for (selector, slip) in [
            ("", ""),
            ("app=kv,", ""),
            ("app=kv,=x", "=x"),
            ("a b", "a b"),
            ("app=a=b", "app=a=b"),
            ("app in kv", "app in kv"),
            ("app in (kv", "app in (kv"),
            ("app on (kv)", "app on (kv)"),
            ("-app=kv", "-app=kv"),
            ("Prefix/app", "Prefix/app"),
            ("/app", "/app"),
            ("app=kv&x", "app=kv&x"),
        ] {
            let requirement = InvalidSelector::Requirement(slip.to_owned());
            assert_eq!(check(selector), Err(requirement), "{selector}");
        }
        assert!(check(&"a".repeat(MAX_NAME + 1)).is_err());
    }

    #[test]
    fn a_selector_that_only_leaves_out_is_refused() {
        for selector in ["!old", "env!=test", "tier notin (web),!old"] {
            let refused = InvalidSelector::NothingWanted(selector.to_owned());
            assert_eq!(check(selector), Err(refused));
        }
    }
}
