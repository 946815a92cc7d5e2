//! What the program is asked to do.

use clap::Parser;

/// An existing rdkafka loop, with its handler wrapped.
#[derive(Clone, Debug, Parser)]
#[command(name = "own_consume_loop")]
pub struct Options {
    /// Where the brokers are.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// The topic, which must be there.
    #[arg(long, default_value = "orders")]
    pub topic: String,
    /// The consumer group, and the consumer's name in the failure log.
    #[arg(long, default_value = "own-loop")]
    pub group: String,
    /// The failure log.
    #[arg(long, value_name = "sqlite:PATH|postgres://…", default_value = "sqlite:own_consume_loop.db")]
    pub store: String,
    /// The entity (the record's key) whose first two attempts fail, to watch.
    #[arg(long, default_value = "order-2")]
    pub fail: String,
    /// Stop once the loop has had so many events and nothing is left to retry; else on Ctrl-C.
    #[arg(long)]
    pub events: Option<u64>,
}
