//! Streams an event log through an ordered consumer whose handler fails now and then, and checks every entity's order.
//!
//! `cargo run --release --example replay -- --help` says what it takes. The program itself is
//! `ordered_consumer_examples::replay`, so that the tests run the very same.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::replay::main()
}
