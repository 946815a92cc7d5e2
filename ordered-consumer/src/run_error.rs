//! Why a consumer stopped.

use crate::{BoxError, FailureLogError, NameError, SourceError, StreamName};

/// Why a consumer could not start, or did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The consumer's name cannot be used.
    #[error("the consumer's name cannot be used")]
    Name(#[from] NameError),
    /// The failure log cannot be used from the start: see that it is reachable, and its address right.
    #[error("the failure log cannot be used, so the consumer has not started")]
    FailureLog {
        /// What it said.
        #[from]
        source: FailureLogError,
    },
    /// The source cannot go on. What was not settled is delivered again to whoever comes next.
    #[error("the source has stopped")]
    Source {
        /// What it said.
        #[source]
        source: SourceError,
    },
    /// A stream was not taken over.
    #[error("stream {stream} was not taken over: {why}")]
    TakeOver {
        /// The stream.
        stream: StreamName,
        /// Why, and what to do.
        why: String,
    },
    /// A defect of this crate, or a system without random numbers.
    #[error("the consumer has failed inside; please report this")]
    Internal {
        /// What happened.
        #[source]
        source: BoxError,
    },
}
