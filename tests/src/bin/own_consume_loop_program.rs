//! The very `main` of the example `own_consume_loop`, as a program that this package's tests can start: cargo tells a test where the
//! programs of its own package are, and not where another package's examples are.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::own_consume_loop::main()
}
