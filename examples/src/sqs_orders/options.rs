//! What the program is asked to do.

use clap::Parser;

use crate::orders::Watched;

/// Consumes orders from an SQS FIFO queue, each order's events in their order, whatever fails.
///
/// Region, endpoint and credentials are ordinary AWS configuration: `AWS_REGION`, `AWS_PROFILE`, `AWS_ENDPOINT_URL` (for
/// ElasticMQ or LocalStack) and so on.
#[derive(Clone, Debug, Parser)]
#[command(name = "sqs_orders")]
pub struct Options {
    /// The queue with the orders; made if it is missing.
    #[arg(long, value_name = "NAME.fifo", default_value = "orders.fifo", value_parser = fifo)]
    pub queue: String,
    /// Where failed events come back from; QUEUE-retry.fifo unless named, and made if it is missing.
    #[arg(long, value_name = "NAME.fifo", value_parser = fifo)]
    pub retry_queue: Option<String>,
    /// Let failed events come back through the queue that they came from.
    #[arg(long, conflicts_with = "retry_queue")]
    pub same_queue: bool,
    /// Let failed events come back inside this process, through no queue.
    #[arg(long, conflicts_with_all = ["retry_queue", "same_queue"])]
    pub in_process: bool,
    /// The consumer's name in the failure log.
    #[arg(long, default_value = "billing")]
    pub consumer: String,
    /// The failure log.
    #[arg(
        long,
        value_name = "sqlite:PATH|postgres://…",
        env = "ORDERS_STORE",
        hide_env_values = true,
        default_value = "sqlite:sqs_orders.db"
    )]
    pub store: String,
    /// Send so many orders first, with three events each.
    #[arg(long, default_value_t = 0)]
    pub produce: u32,
    /// The orders to watch.
    #[command(flatten)]
    pub(crate) watched: Watched,
    /// Stop when nothing has come for five seconds and nothing waits for a retry; else on Ctrl-C.
    #[arg(long)]
    pub until_idle: bool,
}

/// The queue that copies of failed events go to.
pub(super) enum Retries {
    /// None: they come back in this process.
    InProcess,
    SameQueue,
    Queue(String),
}

impl Options {
    pub(super) fn retries(&self) -> Retries {
        if self.in_process {
            return Retries::InProcess;
        }
        if self.same_queue {
            return Retries::SameQueue;
        }
        let named = || format!("{}-retry.fifo", self.queue.trim_end_matches(".fifo"));
        Retries::Queue(self.retry_queue.clone().unwrap_or_else(named))
    }
}

fn fifo(name: &str) -> Result<String, String> {
    if name.ends_with(".fifo") {
        Ok(name.to_owned())
    } else {
        Err("a FIFO queue's name ends in .fifo".to_owned())
    }
}
