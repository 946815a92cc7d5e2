//! A complete program: orders from Kafka, a handler that fails, and a failure log in SQLite or PostgreSQL.
//!
//! `--produce 20` writes some orders first, so that there is something to see. The events of one order can fail twice, and
//! what comes behind them waits; those of another are wrong for good, and park, for an operator to look at. Ctrl-C (or
//! SIGTERM) ends it in good order; started again, it goes on where it was.

mod client;
mod options;
mod orders;
mod program;

pub use options::Options;
pub use program::main;
