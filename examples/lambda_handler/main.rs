//! An AWS Lambda function that takes its batches of an SQS FIFO queue through the wrapper, each order's events in their order.
//!
//! ```sh
//! cargo run --example lambda_handler --features lambda < examples/data/sqs_event.json
//! cargo run --example lambda_handler --features lambda -- --retries --until-idle
//! ```
//!
//! The first reads one batch as Lambda gives it, and prints what Lambda is to be told; the second runs the retries that it
//! has left behind. As a function (`cargo lambda build --example lambda_handler --features lambda,postgres`), turn
//! `ReportBatchItemFailures` on, and let `ORDERS_STORE` name a PostgreSQL that the process with `--retries` shares.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::lambda_handler::main()
}
