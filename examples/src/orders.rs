//! What the examples with orders share: the events, the handler that somebody has already, and how a program ends.

mod charge;
mod ending;
#[cfg(any(feature = "kafka", feature = "sqs"))]
mod idle;
mod order_event;
mod starting;
mod watched;

pub(crate) use charge::Charge;
#[cfg(feature = "lambda")]
pub(crate) use ending::waits_only_for_operators;
pub(crate) use ending::{asked_to_end, tell};
#[cfg(any(feature = "kafka", feature = "sqs"))]
pub(crate) use idle::idle;
pub(crate) use order_event::OrderEvent;
#[cfg(any(feature = "kafka", feature = "sqs"))]
pub(crate) use order_event::STEPS;
pub(crate) use starting::run_logged;
pub(crate) use watched::Watched;
