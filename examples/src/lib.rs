//! What the examples share with the tests that run them.

#[cfg(feature = "kafka")]
pub mod kafka_orders;
pub mod observe_only;
pub mod operate;
#[cfg(feature = "kafka")]
pub mod own_consume_loop;
pub mod replay;
pub mod workers;
