//! What a caller may do.

use std::fmt;

/// Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Role {
    /// Queries and events.
    Read = 1,
    /// Commands too.
    Write = 2,
    /// What operators do too.
    Admin = 3,
}

impl Role {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Role::Read),
            "write" => Some(Role::Write),
            "admin" => Some(Role::Admin),
            _ => None,
        }
    }

    /// The role that this number stands for; 0 is none.
    pub(super) fn of(number: u8) -> Option<Self> {
        [Role::Read, Role::Write, Role::Admin]
            .into_iter()
            .find(|role| *role as u8 == number)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Read => "read",
            Role::Write => "write",
            Role::Admin => "admin",
        })
    }
}
