//! Why an SQS queue cannot be used.

use ordered_consumer::{BoxError, NameError};

/// Why an SQS queue cannot be used, now or at all. Without credentials, keys or payloads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqsError {
    /// It is a standard queue.
    #[error(
        "queue {queue} is a standard queue, which gives messages of a group in any order and has no sequence numbers, \
         with group ids for fair queues too; use a FIFO queue"
    )]
    NotFifo {
        /// The queue's name.
        queue: String,
    },
    /// It has a dead-letter queue.
    #[error(
        "queue {queue} has a redrive policy: SQS would move a message to its dead-letter queue and let the later ones of \
         its group go on, out of order; remove the policy, or call `allow_redrive_policy` if that is meant"
    )]
    RedrivePolicy {
        /// The queue's name.
        queue: String,
    },
    /// SQS says no, and will say so again.
    #[error("SQS refuses {doing} queue {queue}: {why}")]
    Refused {
        /// What was tried, with a preposition: `receiving from`.
        doing: &'static str,
        /// The queue's name.
        queue: String,
        /// The error's code, and what to do where that is known.
        why: String,
    },
    /// SQS cannot be reached, is too busy, or the credentials have expired: trying again may help.
    #[error("SQS is not available for {doing} queue {queue}")]
    Unavailable {
        /// What was tried, with a preposition.
        doing: &'static str,
        /// The queue's name.
        queue: String,
        /// What the client said.
        #[source]
        source: BoxError,
    },
    /// The system has no random numbers to give, by which this publisher's deduplication ids differ from another's.
    #[error("there are no random numbers to be had for deduplication ids")]
    Randomness(#[source] BoxError),
    /// What it was told makes no sense.
    #[error("{what}")]
    Misused {
        /// What is wrong.
        what: String,
    },
    /// The stream's name cannot be one.
    #[error("the stream's name cannot be used")]
    Name(#[from] NameError),
}

impl SqsError {
    /// Whether trying again may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Randomness(_) => true,
            Self::NotFifo { .. }
            | Self::RedrivePolicy { .. }
            | Self::Refused { .. }
            | Self::Misused { .. }
            | Self::Name(_) => false,
        }
    }
}
