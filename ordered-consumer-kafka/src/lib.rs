//! The Apache Kafka adapter of [`ordered-consumer`](https://docs.rs/ordered-consumer).
//!
//! This crate is reserved and empty in this version: the core, its stores and the in-memory adapter come first. It
//! will hold `KafkaSource` (an owned stream per topic-partition, taken over behind the fence that the core's failure
//! log keeps) and `KafkaPublisher` (the retry topic). It will know Kafka, and nothing of SQL.

#[cfg_attr(not(test), expect(dead_code, reason = "the source that uses it comes next"))]
mod commit_metadata;
#[cfg_attr(not(test), expect(dead_code, reason = "the source that uses it comes next"))]
mod completed_offsets;
#[cfg_attr(not(test), expect(dead_code, reason = "the source that uses it comes next"))]
mod offset_tracker;
