//! A broker in this process, and a fixture around it for the conformance suite.

#![expect(clippy::expect_used, reason = "a broker that does not start ends its test")]
#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod broker;
mod fixture;
mod opened;
mod publisher;

pub(crate) use broker::{Broker, publish};
pub(crate) use fixture::Fixture;
