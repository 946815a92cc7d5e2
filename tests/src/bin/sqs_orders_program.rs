//! The very `main` of the example `sqs_orders`, as a program that this package's tests can start.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::sqs_orders::main()
}
