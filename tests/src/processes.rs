//! Several processes on one failure log: their shared input, what they record, and who judges it.

pub mod checker;
pub mod driver;
pub mod file_lock;
pub mod file_queue;
pub mod file_source;
pub mod group_file;
#[cfg(feature = "services")]
pub mod kafka_team;
pub mod recorded;
pub mod recording;
