//! What tests on a mock cluster share.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

pub(crate) mod mock;
pub(crate) mod retry_reader;
