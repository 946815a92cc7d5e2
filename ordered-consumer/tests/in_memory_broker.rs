//! What the in-memory broker promises to those who test with it.

#[cfg(test)]
#[path = "in_memory_broker/owned.rs"]
mod owned;
#[cfg(test)]
#[path = "in_memory_broker/queue.rs"]
mod queue;
#[cfg(test)]
#[path = "in_memory_broker/retry.rs"]
mod retry;
