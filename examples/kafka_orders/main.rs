//! Orders from Kafka, each one's events in their order, whatever fails.
//!
//! `cargo run --example kafka_orders --features kafka -- --produce 20`, with a broker at 127.0.0.1:9092 (see
//! `compose.yaml`) or where `--brokers` or KAFKA_BOOTSTRAP_SERVERS says.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::kafka_orders::main()
}
