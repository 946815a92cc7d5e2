//! The very `main` of the example `operate`, as a program that this package's tests can start.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::operate::main()
}
