//! The very `main` of the example `lambda_handler`, as a program that this package's tests can start.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::lambda_handler::main()
}
