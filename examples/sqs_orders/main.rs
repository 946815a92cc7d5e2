//! Orders from an SQS FIFO queue, each one's events in their order, whatever fails.
//!
//! `cargo run --example sqs_orders --features sqs -- --produce 20`, with queues at AWS or where `AWS_ENDPOINT_URL` says
//! (ElasticMQ, LocalStack); see the README.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::sqs_orders::main()
}
