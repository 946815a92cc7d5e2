//! What the program is asked to do.

use clap::Parser;

use crate::orders::Watched;

/// Takes batches of an SQS FIFO queue as AWS Lambda gives them, each order's events in their order, whatever fails.
#[derive(Clone, Debug, Parser)]
#[command(name = "lambda_handler")]
pub struct Options {
    /// The failure log, which the function and the process with its retries share.
    #[arg(
        long,
        value_name = "sqlite:PATH|postgres://…",
        env = "ORDERS_STORE",
        hide_env_values = true,
        default_value = "sqlite:lambda_handler.db"
    )]
    pub store: String,
    /// The consumer's name in the failure log.
    #[arg(long, env = "ORDERS_CONSUMER", default_value = "billing")]
    pub consumer: String,
    /// The orders to watch.
    #[command(flatten)]
    pub(crate) watched: Watched,
    /// Run the retries, instead of the function.
    #[arg(long)]
    pub retries: bool,
    /// With `--retries`: stop when nothing waits for a retry; else on Ctrl-C.
    #[arg(long, requires = "retries")]
    pub until_idle: bool,
}
