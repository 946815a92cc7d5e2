//! Wraps event handlers so that a failing event never lets a later event of the same entity overtake it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use ordered_consumer::{Event, MemoryFailureLog, OrderedConsumer, in_memory_broker::InMemoryBroker};
//! # async fn charge(_: Event) -> Result<(), std::io::Error> { Ok(()) }
//! # let broker = InMemoryBroker::new();
//! # broker.create_topic("orders", 1)?;
//! # broker.close_topic("orders")?;
//! # let source = broker.subscribe("billing", &["orders"])?;
//! let consumer = OrderedConsumer::new("billing", charge, MemoryFailureLog::new());
//! consumer.run(source).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Before each event its entity is looked up among those that have failed. If an earlier event of it has, this one is
//! *held* in the failure log; the failed one is *retried* with backoff, and *parked* when retries are used up, while its
//! successors stay held; once it succeeds, they come back by index. What it promises, and what not, is in the
//! [README](https://docs.rs/crate/ordered-consumer/latest), how it works in `ARCHITECTURE.md`.
//!
//! * Your handlers: [`Handler`], [`json`], [`HandlerError`], [`RetryPolicy`].
//! * The consumer: [`OrderedConsumer`], [`Limits`], [`Timeouts`], [`Operator`].
//! * Stores: [`FailureLog`], [`MemoryFailureLog`], `SqliteFailureLog` (feature `sqlite`, on by default),
//!   `PostgresFailureLog` (feature `postgres`; `tls` for encrypted connections).
//! * Brokers: [`EventSource`], [`EventPublisher`], [`in_memory_broker`] to test with.
//! * The protocol: [`gate`], pure functions that every store applies.
//! * For tests: `testing` (feature `testing`): a harness for handlers, conformance suites for stores and adapters.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod clock;
mod consumer;
mod display_safe;
mod due_gates;
mod engine;
mod error_chain;
mod event;
mod event_batch;
mod event_builder;
mod event_error;
mod explain;
mod failure_log;
mod failure_log_arc;
mod failure_log_error;
pub mod gate;
mod gate_query;
mod handler;
mod handler_error;
mod headers;
pub mod in_memory_broker;
mod index;
mod json;
mod layout;
mod limits;
mod memory;
mod names;
mod observe;
mod operator;
mod outage_policy;
mod outcome;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
mod process_error;
mod publisher;
mod relay;
mod retry_policy;
mod retry_policy_display;
mod retry_schedule;
mod run_error;
mod source;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stats;
mod stopped;
mod stream_guard;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod timestamp;

pub use clock::Clock;
pub use consumer::OrderedConsumer;
pub use display_safe::{DisplaySafe, display_safe};
pub use due_gates::{DueGates, TakenGate, TakenParked};
pub use error_chain::find_cause;
pub use event::{Context, Event};
pub use event_batch::EventBatch;
pub use event_builder::EventBuilder;
pub use event_error::{EventError, HEADERS_BYTES_MAX, HEADERS_MAX, check as check_event};
pub use failure_log::{
    Answer, Answers, AuditLine, BATCH_REQUESTS_MAX, FailureLog, GateKey, GatedEntity, Request,
    StreamDecision, Totals,
};
pub use failure_log_error::FailureLogError;
pub use gate::ParkCause;
pub use gate_query::{COUNT_GROUPS_MAX, Count, CountBy, CountedGroup, Counts, GateQuery};
pub use handler::Handler;
pub use handler_error::{FailureKind, HandlerError, ignore, permanent, retry_after, unavailable};
pub use headers::Headers;
pub use index::{Digest, Index};
pub use json::{Json, JsonWithEvent, PayloadError, PayloadPosition, json, json_with_event};
pub use layout::{Layout, StreamsAdded};
pub use limits::{Limits, Timeouts};
pub use memory::MemoryFailureLog;
pub use names::{ConsumerName, NAME_BYTES_MAX, NameError, StreamName};
pub use observe::{ObserveOnly, ObserveReport, ObservedStream, Observer};
pub use operator::{
    BY_BYTES_MAX, Inspection, Operator, OperatorError, Pace, RetryAllEnd, RetryAllPreview, RetryAllProgress,
    RetryAllReport, WHY_BYTES_MAX,
};
pub use outage_policy::OutagePolicy;
pub use outcome::Outcome;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresConnections, PostgresFailureLog, PostgresFailureLogBuilder, PostgresTimeouts};
pub use process_error::{EventPlace, LimitReached, ProcessError};
pub use publisher::{EventPublisher, ParkedEvent, ParkedPublisher, PublishError, Published, ReleasedEvent};
pub use retry_policy::RetryPolicy;
pub use run_error::RunError;
pub use source::{
    AssignedStream, Assignment, Confirmation, Confirming, Delivery, EventSource, LastIndexes, Lease,
    ReturnedCopy, Settlement, Sharing, SourceError, SourceMessage,
};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteFailureLog;
pub use stats::Stats;
pub use stream_guard::{StreamGuard, TakeOverOptions};
pub use telemetry::TelemetryOptions;
pub use timestamp::Timestamp;

/// Any error, as it is kept and passed on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The longest an entity's key may be, in bytes.
pub const ENTITY_BYTES_MAX: usize = 1_024;

/// An error and its sources in one line, safe to log: at most 1,024 bytes, of 32 errors of a chain, control characters
/// escaped. For adapters and failure logs, whose errors do not repeat their sources.
///
/// ```
/// # use ordered_consumer::{SourceError, error_text};
/// let away = SourceError::Unavailable("connection refused".into());
/// assert!(error_text(&away).ends_with(": connection refused"));
/// ```
#[must_use]
pub fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    display_safe(&error_chain::chain_text(error, 1_024)).to_string()
}

/// The README's program compiles.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../../README.md")]
struct Readme;
