//! Why a replay did not come to its end.

use std::{fmt, process::ExitCode};

use anyhow::Error;

/// Why a replay did not come to its end.
#[derive(Debug)]
pub enum ReplayError {
    /// What was asked for cannot be done: the file, a column, a number, the state that an earlier replay left.
    BadInput(Error),
    /// It was begun, and something broke.
    Failed(Error),
}

impl ReplayError {
    /// 2 for what was asked for, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::BadInput(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(error) | Self::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// Marks an error as the asker's.
pub(super) fn bad_input(error: impl Into<Error>) -> ReplayError {
    ReplayError::BadInput(error.into())
}

/// Marks an error as one of the run itself.
pub(super) fn failed(error: impl Into<Error>) -> ReplayError {
    ReplayError::Failed(error.into())
}
