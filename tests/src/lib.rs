//! Shared by the tests and the benchmark program.

pub mod both_logs;
pub mod keeper;
pub mod latch;
pub mod operating;
pub mod order;
#[cfg(feature = "services")]
pub mod postgres;
pub mod recorder;
pub mod running;
pub mod scripted;
pub mod world;

pub use self::{
    keeper::Keeper,
    latch::Latch,
    recorder::{Recorder, Run, RunEnd},
    running::{Running, eventually},
    scripted::{Act, Scripted},
    world::{Sent, World},
};
