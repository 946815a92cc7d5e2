//! For tests: of your handlers, and of your own stores and adapters.
//!
//! | for | use |
//! | --- | --- |
//! | tests of your handlers | [`Harness`] |
//! | a failure log of your own | [`failure_log`], the conformance suite |
//! | an adapter of your own | [`source`], the conformance suite |
//! | what happens when a store or a broker fails, stalls, is slow, or does not say what it did | [`FaultyFailureLog`], [`FaultySource`], [`FaultyPublisher`] |
//! | what a dropped future leaves behind | [`sweep`], [`cancelled_at_poll`], [`polled_eagerly`] |
//!
//! # Writing a failure log
//!
//! A store decides nothing. It loads a gate under its row's lock, calls [`gate::step`](crate::gate::step), and writes
//! back what the step says: [`FailureLog`](crate::FailureLog) states the contract, and `memory.rs` is the shortest
//! store that keeps it. Have it take its time from a [`Clock`](crate::Clock), so that rules can move time, and name the
//! whole suite in one line of a test:
//!
//! ```
//! use ordered_consumer::{Clock, FailureLog, MemoryFailureLog, Timestamp, testing::failure_log::Bench};
//!
//! /// An empty store of one's own, for one rule.
//! async fn my_store() -> Bench {
//!     let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
//!     Bench::new(MemoryFailureLog::new().with_clock(clock.clone()), clock)
//! }
//!
//! mod my_store_keeps_every_rule {
//!     ordered_consumer::failure_log_conformance!(super::my_store());
//! }
//! # fn main() {}
//! ```
//!
//! What the trait does not show has to be shown by tests of the store's own:
//! * **durability**: kill a process in the middle of a write, and look at what is there;
//! * **unknown outcomes**: cut the connection after the commit was sent, and before its answer came;
//! * **cancellation**: drop every call wherever it waits, and look through another handle:
//!
//! ```
//! use ordered_consumer::{ConsumerName, FailureLog, MemoryFailureLog, StreamName, gate::TakeOver};
//! use ordered_consumer::testing::{Cuts, FaultyFailureLog, sweep};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (consumer, stream) = (ConsumerName::new("billing")?, StreamName::new("orders/0")?);
//! let asked = TakeOver { seen_generation: 0, identity: None, position: None, uncommitted_max: 10 };
//! let cuts = sweep(Cuts::Every, 4, async |at| {
//!     let stored = MemoryFailureLog::new();
//!     // A store in memory never waits. This one does, twice before each write, and twice after it.
//!     let log = FaultyFailureLog::new(stored.clone());
//!     log.slow(2, 2);
//!     at.cut(log.take_over(&consumer, &stream, &asked)).await;
//!     let _again = stored.take_over(&consumer, &stream, &asked).await;
//!     let record = stored.stream(&consumer, &stream).await.expect("it answers").expect("it is there");
//!     assert_eq!(record.generation, 1, "taken over once, {at:?}");
//! })
//! .await;
//! assert_eq!(cuts, 4);
//! # Ok(())
//! # }
//! ```
//!
//! # Writing an adapter
//!
//! An adapter is an [`EventSource`](crate::EventSource) and, if the broker is to carry retries,
//! an [`EventPublisher`](crate::EventPublisher). Make the broker a [`SourceFixture`](source::SourceFixture), and declare
//! what it promises by naming the themes; each theme's rules become tests. See [`source`] for a whole example.
//!
//! Then run a consumer over it while it fails: [`FaultySource`] and [`FaultyPublisher`] wrap any source and publisher.

mod cancelled;
pub mod failure_log;
mod faulty_log;
mod faulty_publisher;
mod faulty_source;
mod harness;
pub mod source;

pub use cancelled::{CutAt, Cuts, cancelled_at_poll, polled_eagerly, sweep};
pub use faulty_log::{Calls, FaultyFailureLog, LogFault};
pub use faulty_publisher::{FaultyPublisher, PublishFault};
pub use faulty_source::{FaultySource, SourceFaults};
pub use harness::{Harness, Run};
