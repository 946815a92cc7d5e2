//! Observes an existing handler on a log of orders, and tells what would have been held.
//!
//! `cargo run --example observe_only`. The program itself is `ordered_consumer_examples::observe_only`, so that the tests
//! run the very same.

fn main() -> anyhow::Result<()> {
    ordered_consumer_examples::observe_only::main()
}
