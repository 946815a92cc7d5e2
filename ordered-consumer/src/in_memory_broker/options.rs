//! How topics, groups and queues behave.

use std::time::Duration;

/// How a topic keeps its events.
#[derive(Clone, Debug)]
pub struct TopicOptions {
    /// How many partitions it has; at least one.
    pub partitions: u32,
    /// The index of each partition's first event.
    pub first_index: u128,
    /// How many events each partition keeps at most; a publish beyond is refused.
    pub retained_max: usize,
    /// Whether events that every group of the topic has settled are dropped, which keeps memory bounded in a long
    /// run. Without it everything is kept, and may be delivered again.
    pub drop_settled: bool,
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self { partitions: 1, first_index: 0, retained_max: 1_000_000, drop_settled: false }
    }
}

/// How a group's members are served.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// How long a member may take to release a stream that is being revoked; then it is fenced.
    pub rebalance_timeout: Duration,
    /// How many events one `next` hands over at most; at least one.
    pub batch_max: usize,
    /// How many copies the group's retry stream keeps at most; beyond, its publisher is unavailable.
    pub copies_max: usize,
    /// How long a member may go without asking for its next message before it is declared dead, as a broker's session
    /// timeout; assignments then carry a lease that lasts as long, extended whenever the member asks or waits. None:
    /// members live until they leave, crash or are declared dead by a hook, and assignments carry no lease.
    pub session_timeout: Option<Duration>,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            rebalance_timeout: Duration::from_secs(60),
            batch_max: 500,
            copies_max: 1_000_000,
            session_timeout: None,
        }
    }
}

/// How a queue behaves.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// How long a received event is given to nobody else.
    pub visibility_timeout: Duration,
    /// How much earlier than the visibility timeout a delivery's lease ends.
    pub lease_margin: Duration,
    /// How many events one receive hands over at most; at least one.
    pub receive_max: usize,
    /// How often a source extends the visibility of what it has received; none leaves it to run out. Should be well
    /// below the visibility timeout. It is done within `next`, and ends with the source.
    pub heartbeat: Option<Duration>,
    /// The index of the first event.
    pub first_index: u128,
    /// How many events the queue keeps at most; a publish beyond is refused.
    pub retained_max: usize,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            visibility_timeout: Duration::from_secs(30),
            lease_margin: Duration::from_secs(2),
            receive_max: 10,
            heartbeat: None,
            first_index: 0,
            retained_max: 1_000_000,
        }
    }
}
