//! The replay: an event log through the in-memory broker, a handler with seeded failures and a failure log.
//!
//! In reading order: [`Options`] say what to do, [`EventLog`] is read from a CSV file, [`Faults`] decide which attempts
//! fail, the handler writes its own [`Record`], the driver runs one consumer life after another (a crash ends one), and
//! [`check`] judges by the handler's record and by what is left in the failure log, and by nothing else.

mod driver;
mod error;
mod event_log;
mod faults;
mod handler;
mod interrupt;
mod journal;
mod life;
mod naive;
mod observed_source;
mod options;
mod order_check;
mod position;
#[cfg(feature = "postgres")]
mod postgres_store;
mod program;
mod progress;
mod record;
mod report;
mod store;
mod timeline;
mod trace;
mod world;

pub use driver::replay;
pub use error::ReplayError;
pub use event_log::{EventLog, LoggedEvent};
pub use faults::Faults;
pub use interrupt::Interrupt;
pub use naive::naive;
pub use options::{Compare, Options, StoreChoice};
pub use order_check::{Findings, Violation, check};
pub use program::main;
pub use record::{Record, Run, Running};
pub use report::{Counts, Left, Report};
