//! For tests: of your handlers, and of your own stores and adapters.

pub mod failure_log;
mod faulty_log;
pub mod source;

pub use faulty_log::{Calls, FaultyFailureLog, LogFault};
