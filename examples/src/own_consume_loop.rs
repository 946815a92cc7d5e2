//! A consume loop of one's own, which was there before, with one call around the handler.
//!
//! Nothing about the loop's client changes: it is rdkafka's `StreamConsumer`, with its own settings, commits and
//! rebalances. `process` decides what becomes of an event, and its answer is all that the loop must heed: **`Ok` means
//! store the offset, `Err` means do not**, and receive the event again.
//!
//! Each partition is taken over when its first event comes, so that events of healthy entities cost no call to the
//! failure log. Whoever leaves that out and calls `consumer.process(event)` has a *shared* stream: as safe, and one
//! look-up for every event.

mod loop_context;
mod options;
mod program;

pub use options::Options;
pub use program::main;
