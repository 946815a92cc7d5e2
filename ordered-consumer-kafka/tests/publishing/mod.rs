//! What tests on a mock cluster share.

#![expect(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod mock;
pub(crate) mod publisher_parts;
pub(crate) mod retry_reader;
