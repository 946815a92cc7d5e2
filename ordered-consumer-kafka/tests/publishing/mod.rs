//! What tests on a mock cluster share.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

pub(crate) mod mock;
pub(crate) mod retry_reader;
