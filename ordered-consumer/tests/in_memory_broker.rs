//! What the in-memory broker promises to those who test with it.

#[cfg(test)]
#[path = "in_memory_broker/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "in_memory_broker/helpers.rs"]
mod helpers;
#[cfg(test)]
#[path = "in_memory_broker/owned.rs"]
mod owned;
#[cfg(test)]
#[path = "in_memory_broker/queue.rs"]
mod queue;
#[cfg(test)]
#[path = "in_memory_broker/retry.rs"]
mod retry;
#[cfg(test)]
#[path = "in_memory_broker/storm.rs"]
mod storm;
