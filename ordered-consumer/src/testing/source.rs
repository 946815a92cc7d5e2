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
//! | [`sessions`] | owned streams whose broker declares a silent member dead: assignments with a lease |
//! | [`heartbeats`] | shared streams whose source extends the leases of what it has delivered |
//! | [`layouts`] | owned streams of topics to which the broker may add streams |
//! | [`publisher`] | adapters with an [`EventPublisher`](crate::EventPublisher) |
//!
//! Naming the themes is how an adapter declares what its broker promises. The in-memory broker's topic, whole:
//!
//! ```
//! use std::time::Duration;
//! use async_trait::async_trait;
//! use ordered_consumer::{EventPublisher, EventSource, Index, Sharing, StreamName};
//! use ordered_consumer::in_memory_broker::{GroupOptions, InMemoryBroker, NewEvent};
//! use ordered_consumer::testing::source::SourceFixture;
//!
//! struct Topic(InMemoryBroker);
//!
//! #[async_trait]
//! impl SourceFixture for Topic {
//!     fn sharing(&self) -> Sharing {
//!         Sharing::Owned
//!     }
//!     fn patience(&self) -> Duration {
//!         Duration::from_secs(10)
//!     }
//!     fn quiet(&self) -> Duration {
//!         Duration::from_secs(1)
//!     }
//!     async fn publish(&mut self, entity: &str, payload: &str) -> (StreamName, Index) {
//!         let event = NewEvent::new(entity.to_owned(), payload.to_owned());
//!         self.0.publish_to("t", u32::from(entity == "b"), event).expect("it is published")
//!     }
//!     async fn open(&mut self) -> Box<dyn EventSource> {
//!         Box::new(self.0.subscribe("g", &["t"]).expect("there is such a topic"))
//!     }
//!     async fn wait_for_redelivery(&mut self) {}
//! }
//!
//! async fn topic() -> Box<dyn SourceFixture> {
//!     let broker = InMemoryBroker::new();
//!     broker.create_topic("t", 2).expect("a new broker has no topics");
//!     broker.create_group("g", GroupOptions::default());
//!     Box::new(Topic(broker))
//! }
//!
//! mod my_adapter {
//!     ordered_consumer::source_conformance!(paused; any, owned; super::topic());
//! }
//! # fn main() {}
//! ```
//!
//! A rule gets a fresh [`SourceFixture`], and panics when the source breaks it; its name says what is promised. Beside
//! what a rule is about, each checks everything that its sources say: see [`Reader`].

#![expect(clippy::panic, reason = "a rule that does not hold ends its test, and says what it saw")]

mod fixture;
mod reader;
mod rules;

pub mod any;
pub mod copies;
pub mod heartbeats;
pub mod layouts;
pub mod owned;
pub mod publisher;
pub mod sessions;
pub mod shared;

pub use fixture::SourceFixture;
pub use reader::{Reader, Received};
pub use rules::{
    Rule, any_rules, copies_rules, heartbeats_rules, layouts_rules, owned_rules, publisher_rules,
    sessions_rules, shared_rules,
};
