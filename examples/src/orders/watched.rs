//! The orders to watch.

use clap::Args;

/// Options that the programs with orders share.
#[derive(Clone, Debug, Args)]
pub(crate) struct Watched {
    /// The order whose first event fails twice, to watch.
    #[arg(long, default_value = "order-2")]
    pub(crate) fail: String,
    /// The order that can never be charged, and waits for an operator.
    #[arg(long, default_value = "order-3")]
    pub(crate) park: String,
}
