//! Several processes on one failure log: their shared input, what they record, and who judges it.

pub mod checker;
pub mod driver;
pub mod file_lock;
pub mod file_queue;
pub mod file_source;
pub mod group_file;
#[cfg(feature = "services")]
pub mod harm;
#[cfg(feature = "services")]
pub mod kafka_team;
#[cfg(feature = "services")]
pub mod member;
pub mod recorded;
pub mod recording;
#[cfg(feature = "services")]
pub mod sqs_team;
#[cfg(feature = "services")]
pub mod team;
