//! What metrics, spans and log lines tell, and what they must not.

mod metrics_seen;
mod page;
mod secrets;
mod transitions;
