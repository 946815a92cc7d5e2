//! An existing rdkafka loop with one call around its handler.
//!
//! `cargo run --example own_consume_loop --features kafka -- --brokers HOST:PORT --topic orders`; records for it can be
//! had from `kafka_orders --produce 5`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::own_consume_loop::main()
}
