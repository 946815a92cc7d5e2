//! What a consumer has counted, for whoever has no metrics recorder.

/// What a consumer of this process has counted since it was made. Metrics show the same counts, by stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events received from the broker, or given to [`process`](crate::OrderedConsumer::process).
    pub consumed: u64,
    /// Events of the main stream whose handler succeeded at once.
    pub handled: u64,
    /// Runs of handlers that failed, of any event.
    pub failed: u64,
    /// Events of the main stream that failed and were logged, to be tried again.
    pub retry_scheduled: u64,
    /// Events held behind an earlier one of their entity.
    pub held: u64,
    /// Events logged without having run, because their last run may have killed a process.
    pub suspects: u64,
    /// Times that an entity was parked: the sum of the five that follow.
    pub parked: u64,
    /// Times that attempts, or time, were used up.
    pub parked_exhausted: u64,
    /// Times that a handler said that retrying cannot help.
    pub parked_permanent: u64,
    /// Times that the last run was lost, found by this process.
    pub parked_lost_run: u64,
    /// Times that another event came at the index of a logged one.
    pub parked_conflict: u64,
    /// Events that failed for an entity which an operator had paused.
    pub parked_operator: u64,
    /// Events that were done with already when they came.
    pub duplicates: u64,
    /// Events that their handler asked to be ignored.
    pub ignored: u64,
    /// Runs under a claim: retries, and held events on their way back.
    pub retried: u64,
    /// Those of them that were a first attempt: held events whose turn had come, suspects, and heads that an operator
    /// let begin anew.
    pub released: u64,
    /// Logged events whose run under a claim succeeded.
    pub resolved: u64,
    /// Events published to the retry stream.
    pub published: u64,
    /// Parked events published to the mirror, repeats too.
    pub mirrored: u64,
    /// Parked events that the mirror refused for good.
    pub mirror_refused: u64,
    /// Results that did not count, because their claim was gone.
    pub claims_lost: u64,
    /// Writes refused because a stream was not this process's any more.
    pub fenced: u64,
    /// Times that a handler was found to block its thread.
    pub blocked: u64,
    /// Times that a stream waited for a limit on what is held.
    pub limited: u64,
    /// Times that a stream paused because what its handlers need was away.
    pub outages: u64,
    /// Streams that stopped because of an event, or because they are not what they were.
    pub stopped: u64,
    /// Calls to the failure log that were made again because it was unavailable or their outcome was unknown.
    pub log_retries: u64,
}
