//! What is on the wire.

use serde::{Deserialize, Serialize};

/// What happens to every order, one after the other.
#[cfg(any(feature = "kafka", feature = "sqs"))]
pub(crate) const STEPS: [&str; 3] = ["created", "paid", "shipped"];

/// One event of an order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OrderEvent {
    pub(crate) order: String,
    pub(crate) what: String,
}
