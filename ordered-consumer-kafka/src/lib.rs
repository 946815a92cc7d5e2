//! The Apache Kafka adapter of [`ordered-consumer`](https://docs.rs/ordered-consumer).
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use ordered_consumer::{Event, MemoryFailureLog, OrderedConsumer};
//! use ordered_consumer_kafka::{KafkaConfig, KafkaPublisher, KafkaSource, RetryTopic};
//!
//! async fn charge(event: Event) -> Result<(), std::io::Error> {
//!     println!("charging for {event}");
//!     Ok(())
//! }
//!
//! let config = KafkaConfig::new("localhost:9092", "billing");
//! // The retry topic is optional: without it, failed events come back inside this process.
//! let retry = RetryTopic::of_group("billing");
//! retry.ensure(&config, &["orders"]).await?;
//! let publisher = KafkaPublisher::new(&config, retry.name())?;
//! let source = KafkaSource::builder(config, ["orders"]).retry_topic(retry.name()).subscribe()?;
//! // In memory only for the example: `SqliteFailureLog` and `PostgresFailureLog` are durable.
//! let failures = MemoryFailureLog::new();
//! let consumer = OrderedConsumer::new("billing", charge, failures).with_publisher(publisher);
//! consumer.run(source).await?;
//! # Ok(())
//! # }
//! ```
//!
//! * [`KafkaSource`]: a member of a consumer group whose partitions are owned streams, taken over behind the fence that
//!   the core's failure log keeps.
//! * [`KafkaConfig`]: brokers, group, and any property of librdkafka.
//! * [`RecordMapping`]: what makes an [`Event`](ordered_consumer::Event) of a record, also in a consume loop of your own.
//! * [`KafkaPublisher`] and [`RetryTopic`]: the way back through the broker; [`headers`]: what a copy carries there.
//! * [`ParkedTopic`]: a mirror of parked events.
//!
//! It knows Kafka, and nothing of SQL. The client is [`rdkafka`], which is re-exported, because its types are in this
//! crate's interface.

mod admin;
mod client_log;
mod cloud_events;
mod commit_metadata;
mod completed_offsets;
mod config;
mod config_error;
mod config_rules;
mod copier;
mod decode;
mod entity_spread;
pub mod headers;
mod kafka_publisher;
mod kafka_source;
mod kafka_source_builder;
mod offset_tracker;
mod parked_topic;
mod poll_thread;
mod producer;
mod record;
mod record_error;
mod record_mapping;
mod retry_topic;
mod send_error;
mod source_context;
mod source_link;
mod source_options;
mod topic_error;
mod topic_sender;
mod topic_sizes;

pub use config::{KafkaConfig, StartAt};
pub use config_error::ConfigError;
pub use decode::{DecodeError, DecodedCopy, decode_copy};
pub use kafka_publisher::KafkaPublisher;
pub use kafka_source::KafkaSource;
pub use kafka_source_builder::KafkaSourceBuilder;
pub use parked_topic::ParkedTopic;
pub use rdkafka;
pub use record::Record;
pub use record_error::RecordError;
pub use record_mapping::{EntityKey, KEYLESS_PREFIX, Keyless, RecordMapping, stream_name};
pub use retry_topic::{EnsuredTopic, RetryTopic};
pub use topic_error::TopicError;
