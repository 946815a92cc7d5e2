//! What the program is asked to do.

use clap::Parser;

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
    /// The order whose first event fails twice, to watch.
    #[arg(long, default_value = "order-2")]
    pub fail: String,
    /// The order that can never be charged, and waits for an operator.
    #[arg(long, default_value = "order-3")]
    pub park: String,
    /// Run the retries, instead of the function.
    #[arg(long)]
    pub retries: bool,
    /// With `--retries`: stop when nothing waits for a retry; else on Ctrl-C.
    #[arg(long, requires = "retries")]
    pub until_idle: bool,
}
