//! What the examples share with the tests that run them.

#[cfg(feature = "kafka")]
pub mod kafka_orders;
#[cfg(feature = "lambda")]
pub mod lambda_handler;
pub mod observe_only;
pub mod operate;
#[cfg(any(feature = "kafka", feature = "lambda", feature = "sqs"))]
mod orders;
#[cfg(feature = "kafka")]
pub mod own_consume_loop;
mod program;
pub mod replay;
#[cfg(feature = "sqs")]
pub mod sqs_orders;
pub mod workers;
