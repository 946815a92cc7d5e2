//! The Apache Kafka adapter of [`ordered-consumer`](https://docs.rs/ordered-consumer).
//!
//! [`KafkaSource`] is a member of a consumer group whose partitions are owned streams, taken over behind the fence that the
//! core's failure log keeps. This crate knows Kafka, and nothing of SQL.

mod kafka_source;
mod kafka_source_builder;
mod plain_records;
mod poll_thread;
mod record_reader;
mod simple_tracker;
mod source_context;
mod source_link;
mod source_options;

pub use kafka_source::KafkaSource;
pub use kafka_source_builder::KafkaSourceBuilder;
