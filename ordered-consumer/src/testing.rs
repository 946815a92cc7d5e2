//! For tests: of your handlers, and of your own stores and adapters.

pub mod failure_log;
