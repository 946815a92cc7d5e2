//! What an operator does on the second day: list, explain, count, edit and retry, read the audit.
//!
//! `cargo run --example operate` needs nothing: it makes a SQLite file of its own. The program itself is
//! `ordered_consumer_examples::operate`, so that the tests run the very same.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::operate::main()
}
