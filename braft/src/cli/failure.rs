//! How a command fails.

use tonic::{Code, Status};

use crate::error::{Error, ErrorKind};
use crate::storage::backup::ReadBackupError;

/// Why a command did not do what it was to do.
#[derive(Debug)]
pub(super) enum Failure {
    /// It cannot be done like this.
    Refused(String),
    /// Nobody was there to do it, or not in time.
    Unavailable(String),
    /// Data is not what was written, or cannot be read or written.
    Damaged(String),
    /// The service's own error.
    Service(String),
    /// Something was sent that may have had its effect.
    Unknown(String),
}

impl Failure {
    pub(super) fn code(&self) -> u8 {
        match self {
            Failure::Refused(_) => 1,
            Failure::Unavailable(_) => 3,
            Failure::Damaged(_) => 4,
            Failure::Service(_) => 5,
            Failure::Unknown(_) => 6,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Failure::Refused(text)
            | Failure::Unavailable(text)
            | Failure::Damaged(text)
            | Failure::Service(text)
            | Failure::Unknown(text) => text,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Rejected => Failure::Refused(text),
            ErrorKind::Fatal => Failure::Damaged(text),
            _ => Failure::Unavailable(text),
        }
    }
}

impl From<ReadBackupError> for Failure {
    fn from(error: ReadBackupError) -> Self {
        Failure::Damaged(error.to_string())
    }
}

/// What a node said.
pub(super) fn said(address: &str, status: &Status) -> Failure {
    let text = format!("{address}: {}", status.message());
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled => {
            Failure::Unavailable(text)
        }
        Code::Unimplemented => Failure::Refused(format!(
            "{address}: this node's braft does not know the command; upgrade the node"
        )),
        Code::DataLoss => Failure::Damaged(text),
        _ => Failure::Refused(text),
    }
}
