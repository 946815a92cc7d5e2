//! What the failure log in PostgreSQL promises beyond the suite that every failure log passes.
#![cfg(feature = "services")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod lost_commits;
mod opening;
mod plans;
mod proxy;
mod restart;
mod sharing;
mod support;
mod trouble;
