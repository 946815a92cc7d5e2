//! What the program is asked to do.

use clap::Parser;
use ordered_consumer_kafka::RetryTopic;

use crate::orders::Watched;

/// Consumes orders from Kafka, each order's events in their order, whatever fails.
#[derive(Clone, Debug, Parser)]
#[command(name = "kafka_orders")]
pub struct Options {
    /// Where the brokers are.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// The topic with the orders; made if it is missing.
    #[arg(long, default_value = "orders")]
    pub topic: String,
    /// The partitions of a topic that is made.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=256))]
    pub partitions: i32,
    /// The consumer group, and the consumer's name in the failure log.
    #[arg(long, default_value = "billing")]
    pub group: String,
    /// Where failed events come back from; GROUP.retry unless named, and made if it is missing.
    #[arg(long)]
    pub retry_topic: Option<String>,
    /// Let failed events come back inside this process, without a retry topic.
    #[arg(long, conflicts_with = "retry_topic")]
    pub in_process: bool,
    /// The failure log.
    #[arg(
        long,
        value_name = "sqlite:PATH|postgres://…",
        env = "ORDERS_STORE",
        hide_env_values = true,
        default_value = "sqlite:kafka_orders.db"
    )]
    pub store: String,
    /// Any other property of librdkafka, such as `security.protocol=ssl`; may be repeated.
    #[arg(long = "set", value_name = "PROPERTY=VALUE", value_parser = property)]
    pub properties: Vec<(String, String)>,
    /// Write so many orders first, with three events each.
    #[arg(long, default_value_t = 0)]
    pub produce: u32,
    /// The orders to watch.
    #[command(flatten)]
    pub(crate) watched: Watched,
    /// Stop when nothing has come for five seconds and nothing waits for a retry; else on Ctrl-C.
    #[arg(long)]
    pub until_idle: bool,
}

impl Options {
    pub(super) fn retry_topic(&self) -> Option<RetryTopic> {
        let named = || self.retry_topic.as_deref().map(RetryTopic::named);
        (!self.in_process).then(|| named().unwrap_or_else(|| RetryTopic::of_group(&self.group)))
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "not PROPERTY=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}
