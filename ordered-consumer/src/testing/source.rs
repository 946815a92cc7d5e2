//! What every event source must do: one function per rule, for authors of adapters.
//!
//! [`source_conformance!`](crate::source_conformance) makes a test of each rule of the themes that an adapter names:
//!
//! | theme | for |
//! | --- | --- |
//! | [`any`] | every source |
//! | [`owned`] | sources whose streams are owned |
//! | [`shared`] | sources whose streams are shared |
//! | [`copies`] | adapters with a retry stream |
//!
//! A rule gets a fresh [`SourceFixture`], and panics when the source breaks it; its name says what is promised. Beside
//! what a rule is about, each checks everything that its sources say: see [`Reader`].

#![expect(clippy::panic, reason = "a rule that does not hold ends its test, and says what it saw")]

mod fixture;
mod polls;
mod reader;
mod rules;

pub mod any;
pub mod copies;
pub mod owned;
pub mod shared;

pub use fixture::SourceFixture;
pub use reader::{Reader, Received};
pub use rules::{Rule, any_rules, copies_rules, owned_rules, shared_rules};
