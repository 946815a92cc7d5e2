//! What the examples with orders share: the events, the handler that somebody has already, and how a program ends.

mod charge;
mod ending;
mod order_event;

pub(crate) use charge::Charge;
pub(crate) use ending::{asked_to_end, idle, tell};
pub(crate) use order_event::{OrderEvent, STEPS};
