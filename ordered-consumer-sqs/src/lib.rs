//! The Amazon SQS FIFO adapter of [`ordered-consumer`](https://docs.rs/ordered-consumer).
//!
//! A message group is an entity. A failing message no longer blocks its group until it falls into a dead-letter queue
//! and breaks the order: it is logged, its group's later messages are held, and everything comes back in order.
//!
//! ```no_run
//! # use ordered_consumer::{Event, MemoryFailureLog, OrderedConsumer};
//! # async fn charge(_: Event) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn run(client: aws_sdk_sqs::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use ordered_consumer_sqs::{SqsPublisher, SqsSource};
//!
//! // `client` is an ordinary `aws_sdk_sqs::Client`: region, endpoint and credentials are whatever it was made with.
//! let source = SqsSource::builder(client.clone(), "https://sqs.eu-west-1.amazonaws.com/1/orders.fifo")
//!     .retry_queue("https://sqs.eu-west-1.amazonaws.com/1/orders-retry.fifo")
//!     .open()
//!     .await?;
//! let publisher = SqsPublisher::open(client, "https://sqs.eu-west-1.amazonaws.com/1/orders-retry.fifo").await?;
//! let consumer = OrderedConsumer::new("billing", charge, MemoryFailureLog::new()).with_publisher(publisher);
//! consumer.run(source).await?;
//! # Ok(())
//! # }
//! ```
//!
//! * Receiving: [`SqsSource`], and what becomes of a message: [`SqsMapping`].
//! * Retries through a queue: [`SqsPublisher`].
//! * AWS Lambda: `handle_batch` (feature `lambda`).
//!
//! # What a queue must be
//! A FIFO queue, without a redrive policy of its own, because SQS would move a message to its dead-letter queue and let
//! the group go on. A standard queue is refused, with group ids for fair queues too: they spread the load, and order
//! nothing. [`SqsError`] says what is wrong in plain words.
//!
//! # Retries beyond SQS's limits
//! A delay of days works, because the failure log does the waiting; SQS keeps nothing for longer than it takes to hand it
//! over. A message is deleted once its failure is durable in the log, so that receive counts and the queue's look-ahead
//! are not used up by failing groups.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attributes;
mod client_error;
mod copy_attribute;
mod deduplication;
mod error;
mod extend;
mod flight;
mod flights;
mod giving_way;
mod handover;
mod incoming;
#[cfg(feature = "lambda")]
mod lambda;
mod mapping;
mod outgoing;
mod queue;
mod receive;
mod shared;
mod sqs_publisher;
mod sqs_source;
mod sqs_source_builder;
mod tell;
mod turns;

pub use error::SqsError;
pub use incoming::IncomingMessage;
#[cfg(feature = "lambda")]
#[cfg_attr(docsrs, doc(cfg(feature = "lambda")))]
pub use lambda::SqsBatches;
pub use mapping::SqsMapping;
pub use sqs_publisher::{SqsPublisher, SqsPublisherBuilder};
pub use sqs_source::SqsSource;
pub use sqs_source_builder::SqsSourceBuilder;
