//! What the receivers hand to the source.

use ordered_consumer::{Delivery, ReturnedCopy, SourceError};

/// What one receive, or its failure, has to say.
#[derive(Debug)]
pub(crate) enum Handover {
    /// Events, by index.
    Events(Vec<Delivery>),
    /// Copies from the retry queue.
    Copies(Vec<ReturnedCopy>),
    /// SQS cannot be reached, or never again.
    Failed(SourceError),
}
