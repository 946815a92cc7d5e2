//! The engine: what every adapter's events go through.
//!
//! One task, the *conductor*, owns the source; several *workers* own the entities' turns and poll their handlers, with
//! no task per event; one task runs the *retries*; two *batchers* group writes to the failure log. See ARCHITECTURE.md.

pub(crate) mod batcher;
pub(crate) mod breaker;
pub(crate) mod conductor;
pub(crate) mod core;
pub(crate) mod due;
pub(crate) mod fingerprint;
pub(crate) mod gate_cache;
pub(crate) mod guarded;
pub(crate) mod intake;
pub(crate) mod known_streams;
pub(crate) mod lane;
pub(crate) mod layout_wait;
pub(crate) mod life;
pub(crate) mod outage;
pub(crate) mod persist;
pub(crate) mod progress;
pub(crate) mod solo;
pub(crate) mod stream_state;
pub(crate) mod takeover;
pub(crate) mod turns;
pub(crate) mod watchdog;
pub(crate) mod worker;
