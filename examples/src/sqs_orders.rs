//! A complete program: orders from an SQS FIFO queue, a handler that fails, and a failure log in SQLite or PostgreSQL.
//!
//! `--produce 20` sends some orders first, so that there is something to see. The events of one order can fail twice, and
//! what comes behind them waits; those of another are wrong for good, and park, for an operator to look at. Ctrl-C (or
//! SIGTERM) ends it in good order; started again, it goes on where it was.

mod options;
mod orders;
mod program;
mod queues;

pub use options::Options;
pub use program::main;
