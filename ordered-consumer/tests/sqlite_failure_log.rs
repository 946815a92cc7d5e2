//! What only the SQLite failure log promises, beside the rules that every failure log keeps.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "what fails in a test ends it")]

#[path = "sqlite_failure_log/addresses.rs"]
mod addresses;
#[path = "sqlite_failure_log/crashes.rs"]
mod crashes;
#[path = "sqlite_failure_log/plans.rs"]
mod plans;
#[path = "sqlite_failure_log/sharing.rs"]
mod sharing;
#[path = "sqlite_failure_log/statements.rs"]
mod statements;
#[path = "sqlite_failure_log/support.rs"]
mod support;
#[path = "sqlite_failure_log/values.rs"]
mod values;
