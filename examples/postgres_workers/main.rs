//! Several processes consume one topic's partitions and share one failure log; some of them are killed on the way.
//!
//! `cargo run --release --example postgres_workers --features postgres -- --store postgres://…` (or `DATABASE_URL`);
//! with `--store sqlite:PATH` it shows the same on one machine without a server.

use std::process::ExitCode;

fn main() -> ExitCode {
    ordered_consumer_examples::workers::main()
}
