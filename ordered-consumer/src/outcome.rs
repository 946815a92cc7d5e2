//! What became of an event.

use std::fmt;

use crate::{ParkCause, Timestamp};

/// What became of an event that a consumer has processed. Every one of them is durable: **acknowledge the event**.
///
/// It is for information, and nothing needs to be done about it: what is retried, held or parked is in the failure log,
/// and comes back by itself or by an operator's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler succeeded.
    Handled,
    /// The handler asked for the event to be ignored: it is resolved, and a line in the audit says so.
    Ignored,
    /// The handler failed; the event is in the failure log, and tried again when it is due.
    RetryScheduled {
        /// When, by the failure log's clock.
        due_at: Timestamp,
    },
    /// An earlier event of its entity is not resolved; this one waits behind it in the failure log.
    Held,
    /// The handler failed, and retrying has stopped: its entity waits for an operator.
    Parked(ParkCause),
    /// It has been resolved before, or is in the failure log already: nothing was done.
    Duplicate,
    /// It may have been running when a process died, so that it was logged instead of run; the relay brings it back at
    /// once, and its attempt is counted before it runs.
    Suspect,
}

impl Outcome {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Ignored => "ignored",
            Self::RetryScheduled { .. } => "retry_scheduled",
            Self::Held => "held",
            Self::Parked(_) => "parked",
            Self::Duplicate => "duplicate",
            Self::Suspect => "suspect",
        }
    }

    /// Whether the event is resolved: nothing of it is left in the failure log because of this call.
    ///
    /// A [`Duplicate`](Self::Duplicate) is not said to be: its first copy may still be waiting.
    #[must_use]
    pub const fn is_resolved(&self) -> bool {
        match self {
            Self::Handled | Self::Ignored => true,
            Self::RetryScheduled { .. } | Self::Held | Self::Parked(_) | Self::Duplicate | Self::Suspect => {
                false
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parked(cause) => write!(f, "parked ({})", cause.as_str()),
            Self::Handled
            | Self::Ignored
            | Self::RetryScheduled { .. }
            | Self::Held
            | Self::Duplicate
            | Self::Suspect => f.write_str(self.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_in_a_word_and_a_parked_one_with_its_cause() {
        assert_eq!(Outcome::RetryScheduled { due_at: Timestamp::MAX }.to_string(), "retry_scheduled");
        assert_eq!(Outcome::Parked(ParkCause::LostRun).to_string(), "parked (lost_run)");
    }
}
