//! A broker in this process, and a fixture around it for the conformance suite.

mod broker;
mod fixture;
mod opened;
mod publisher;

pub(crate) use broker::{Broker, publish};
pub(crate) use fixture::Fixture;
