//! The Amazon SQS FIFO adapter of [`ordered-consumer`](https://docs.rs/ordered-consumer).
//!
//! This crate is reserved and empty in this version: the core, its stores and the in-memory adapter come first. It
//! will hold `SqsSource` (shared streams: a message group is an entity, and any process may receive its next message)
//! and `SqsPublisher` (the FIFO retry queue). It will know SQS, and nothing of SQL.
