//! What tests on a mock cluster share.

#![expect(dead_code, reason = "each test program uses a part of it")]

pub mod mock;
pub mod publisher_parts;
pub mod retry_reader;
