//! What every failure log must do: one function per rule, for authors of stores.
//!
//! [`failure_log_conformance!`](crate::failure_log_conformance) makes a test of each. A rule gets a fresh [`Bench`],
//! and panics when the log breaks it; its name says what is promised.
//!
//! The rules check what can be seen through the trait. Durability cannot: show it with a test of the store's own, which
//! kills a process in the middle of a write.

#![expect(clippy::panic, reason = "a rule that does not hold ends its test, and says what it saw")]

mod bench;
mod entity;
mod rules;

pub mod audits;
pub mod batches;
pub mod claims;
pub mod conflicts;
pub mod decisions;
pub mod guards;
pub mod holding;
pub mod layouts;
pub mod limits;
pub mod lists;
pub mod mirror;
pub mod operators;
pub mod queries;
pub mod relays;
pub mod runs;
pub mod separation;
pub mod streams;
pub mod tombstones;
pub mod versions;

pub use bench::Bench;
pub use rules::{Rule, rules};
