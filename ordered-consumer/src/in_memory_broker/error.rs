//! Why the in-memory broker refused something.

use crate::{Index, NameError, StreamName};

/// Why the in-memory broker refused something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// There is no topic or queue of this name.
    #[error("there is no topic or queue named {name}; create it first")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// There is a topic or queue of this name already.
    #[error("there is a topic or queue named {name} already")]
    Exists {
        /// The name that was to be given.
        name: String,
    },
    /// A topic needs at least one partition, and a subscription at least one topic.
    #[error("{what} needs at least one {of}")]
    Nothing {
        /// What was to be made.
        what: &'static str,
        /// What it lacks.
        of: &'static str,
    },
    /// The topic has no partition of this number.
    #[error("topic {topic} has no partition {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The partition that was asked for.
        partition: u32,
    },
    /// The partition or queue keeps as many events as it may.
    #[error(
        "{stream} keeps {limit} events and may not keep more; settle some (with `drop_settled`), or raise \
         `retained_max`"
    )]
    Full {
        /// The stream.
        stream: StreamName,
        /// How many it may keep.
        limit: usize,
    },
    /// The topic or queue was closed: nothing more may be published.
    #[error("{name} was closed and takes no more events")]
    Closed {
        /// Its name.
        name: String,
    },
    /// The highest index was given out.
    #[error("{stream} has given out the highest index there is")]
    IndexesUsedUp {
        /// The stream.
        stream: StreamName,
    },
    /// The broker does not keep an event of this index.
    #[error("{stream} does not keep an event of index {index}")]
    NotKept {
        /// The stream.
        stream: StreamName,
        /// The index that was asked for.
        index: Index,
    },
    /// The member has left, was declared dead, or does not own the stream.
    #[error("no such member, or it does not own the stream")]
    NoSuchMember,
    /// The name cannot be a stream's.
    #[error(transparent)]
    Name(#[from] NameError),
}
