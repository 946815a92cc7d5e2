//! Single rules of the gate, at their edges; how they work together is for the model check.

#[path = "gate_rules/events.rs"]
mod events;
#[path = "gate_rules/log.rs"]
mod log;
#[path = "gate_rules/mirror.rs"]
mod mirror;
#[path = "gate_rules/operators.rs"]
mod operators;
#[path = "gate_rules/random.rs"]
mod random;
#[path = "gate_rules/runs.rs"]
mod runs;

use std::time::Duration;

use ordered_consumer::gate::Next;

const RETRY: Next = Next::Retry(Duration::from_secs(1));
/// The indexes at which arithmetic goes wrong first.
const ENDS: [u128; 2] = [0, u128::MAX];
