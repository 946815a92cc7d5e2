//! Shared by the tests and the benchmark program.

pub mod both_logs;
pub mod counting_source;
pub mod delaying_proxy;
#[cfg(feature = "services")]
pub mod gateway;
#[cfg(feature = "services")]
pub mod kafka;
#[cfg(feature = "services")]
pub mod kafka_server;
pub mod keeper;
pub mod latch;
pub mod operating;
pub mod order;
#[cfg(feature = "services")]
pub mod orders_shown;
pub mod partitions;
#[cfg(feature = "services")]
pub mod postgres;
#[cfg(feature = "services")]
pub mod postgres_store;
pub mod processes;
pub mod recorder;
pub mod running;
pub mod scripted;
pub mod snapshot;
#[cfg(feature = "services")]
pub mod sqs;
pub mod store;
pub mod world;

pub use self::{
    keeper::Keeper,
    latch::Latch,
    recorder::{Recorder, Run, RunEnd},
    running::{Running, eventually},
    scripted::{Act, Scripted},
    world::{Sent, World},
};
