//! How a program finds that there is nothing left to do.

use std::time::Duration;

use ordered_consumer::{Handler, Operator, OrderedConsumer};
use tokio::time::{Instant, sleep};

use super::ending::waits_only_for_operators;

/// How long nothing must come for a program to end by itself.
const IDLE: Duration = Duration::from_secs(5);

/// Waits until nothing has come for a time and nothing waits but for an operator.
pub(crate) async fn idle(consumer: &OrderedConsumer<impl Handler>, operator: &Operator) {
    let (mut seen, mut since) = (consumer.stats(), Instant::now());
    loop {
        sleep(Duration::from_millis(100)).await;
        let stats = consumer.stats();
        if stats != seen || stats.consumed == 0 || !waits_only_for_operators(operator).await {
            (seen, since) = (stats, Instant::now());
        }
        if since.elapsed() > IDLE {
            return;
        }
    }
}
