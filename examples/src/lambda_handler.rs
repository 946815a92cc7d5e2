//! A complete AWS Lambda function for the batches of an SQS FIFO queue, and the process beside it that runs its retries.
//!
//! Where AWS Lambda starts it, it is the function; started by hand it reads one batch from standard input, and prints what
//! Lambda would be told. With `--retries` it is the other process: between two invocations nothing runs in a function. Both
//! need one failure log, which is PostgreSQL where they run on different machines.

mod options;
mod program;

pub use options::Options;
pub use program::main;
