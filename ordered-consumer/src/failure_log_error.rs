//! What can go wrong with a failure log.

use crate::BoxError;

/// Why a call to a failure log failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailureLogError {
    /// The store cannot be reached, or is too busy: nothing was written, and the same call may succeed later.
    #[error("the failure log is unavailable: {doing}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What the store's driver said.
        #[source]
        source: BoxError,
    },
    /// The connection was lost while the outcome was being reported: make the same call again to find out.
    #[error("whether the failure log has written is not known: {doing}")]
    OutcomeUnknown {
        /// What was being done.
        doing: &'static str,
        /// What the store's driver said.
        #[source]
        source: BoxError,
    },
    /// The store's tables have another version than this program knows.
    #[error("the failure log's schema has version {found}, this program knows {known}; {advice}")]
    SchemaVersion {
        /// The version found.
        found: i64,
        /// The version that this program writes.
        known: i64,
        /// What to do.
        advice: &'static str,
    },
    /// The address of the store cannot be used.
    #[error("`{url}` is not the address of a failure log: {why}")]
    BadUrl {
        /// The address, without credentials.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// What the store returned cannot be understood.
    #[error("the failure log is damaged: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// The store refused the call for good: making it again would lead to the same.
    #[error("the failure log refused the call: {doing}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What the store's driver said.
        #[source]
        source: BoxError,
    },
    /// The call breaks the trait's contract.
    #[error("the call breaks the failure log's contract: {what}")]
    Misused {
        /// How.
        what: &'static str,
    },
}

impl FailureLogError {
    /// Whether the writes may have happened nevertheless.
    #[must_use]
    pub const fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::OutcomeUnknown { .. })
    }
}
