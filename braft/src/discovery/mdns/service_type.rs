//! Under which name nodes are announced.

use std::{fmt, str::FromStr};

/// Longest name of a service (RFC 6763, section 7.2), without the underscore.
const MAX_NAME: usize = 15;

/// A service type of DNS-SD (RFC 6763), such as `_braft._tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceType(String);

/// Why a text is no service type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "service {0:?} is not of the form _name._tcp, where the name has 1 to 15 letters, digits or \
     single hyphens, at least one letter, and no hyphen at its ends"
)]
pub struct InvalidServiceType(String);

impl ServiceType {
    /// The name on the wire, in the local domain.
    pub(super) fn domain(&self) -> String {
        format!("{}.local.", self.0)
    }
}

impl Default for ServiceType {
    fn default() -> Self {
        Self("_braft._tcp".to_owned())
    }
}

impl FromStr for ServiceType {
    type Err = InvalidServiceType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.trim().to_ascii_lowercase();
        let name = lower
            .strip_prefix('_')
            .and_then(|rest| rest.strip_suffix("._tcp"));
        // RFC 6335, section 5.1.
        let sound = |name: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=MAX_NAME).contains(&name.len())
                && name.bytes().all(known)
                && name.bytes().any(|byte| byte.is_ascii_alphabetic())
                && !name.starts_with('-')
                && !name.ends_with('-')
                && !name.contains("--")
        };
        match name {
            Some(name) if sound(name) => Ok(Self(lower)),
            _ => Err(InvalidServiceType(text.to_owned())),
        }
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_are_checked() {
        for text in ["_braft._tcp", "_A-1._tcp", "_abcdefghijklmno._tcp"] {
            let service: ServiceType = text.parse().expect(text);
            assert_eq!(service.to_string(), text.to_lowercase());
        }
        for text in [
            "",
            "braft",
            "_braft",
            "_braft._udp",
            "_._tcp",
            "_1._tcp",
            "_-a._tcp",
            "_a--b._tcp",
            "_abcdefghijklmnop._tcp",
            "_a b._tcp",
            "_a.b._tcp",
        ] {
            let error = text.parse::<ServiceType>().expect_err(text).to_string();
            assert!(error.contains("_name._tcp"), "{error}");
        }
    }
}
