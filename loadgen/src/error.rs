//! The one error type of this crate, sorted by who must act.

use std::{fmt, io};

/// Why a run could not start, or had to stop.
#[derive(Debug)]
pub enum Error {
    /// The options do not make sense together: the user changes the command line.
    Usage(String),
    /// A socket or a file failed: the user looks at the machine or the address.
    Io {
        /// What was being done, with the address or the path.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A peer sent bytes that no broker should send: a bug in the broker (or here).
    Protocol(String),
    /// The broker answered with an error that retrying cannot mend, or not in time.
    Broker(String),
}

impl Error {
    /// An operating system error, with what was being done.
    pub fn io(what: impl Into<String>, source: io::Error) -> Error {
        Error::Io { what: what.into(), source }
    }

    /// An answer that could not be understood.
    pub fn protocol(what: impl Into<String>) -> Error {
        Error::Protocol(what.into())
    }

    /// Whether a new connection may help: the peer went away, or is not there yet.
    pub fn is_connection_loss(&self) -> bool {
        matches!(self, Error::Io { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(text) => write!(f, "{text}"),
            Error::Io { what, source } => write!(f, "{what}: {source}"),
            Error::Protocol(text) => write!(f, "unexpected bytes from the broker: {text}"),
            Error::Broker(text) => write!(f, "{text}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
