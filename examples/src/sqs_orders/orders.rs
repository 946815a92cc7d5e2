//! Orders to look at.

use anyhow::{Context as _, Result, bail};
use aws_sdk_sqs::{Client, types::SendMessageBatchRequestEntry};

use crate::orders::{OrderEvent, STEPS};

/// As many as SQS takes in one request.
const BATCH: usize = 10;

/// Sends every order's events; the order's name is the message group, in which SQS keeps their order.
pub(super) async fn produce(client: &Client, url: &str, orders: u32) -> Result<()> {
    // What was sent within the last five minutes under the same id would not be delivered.
    let run = format!("{}-{}", std::process::id(), std::time::UNIX_EPOCH.elapsed()?.as_millis());
    let mut events = Vec::new();
    for what in STEPS {
        for number in 1..=orders {
            let order = format!("order-{number}");
            let body = serde_json::to_string(&OrderEvent { order: order.clone(), what: what.to_owned() })?;
            let entry = SendMessageBatchRequestEntry::builder()
                .id((events.len() % BATCH).to_string())
                .message_deduplication_id(format!("{run}-{order}-{what}"))
                .message_group_id(order)
                .message_body(body);
            events.push(entry.build()?);
        }
    }
    for batch in events.chunks(BATCH) {
        let sent = client.send_message_batch().queue_url(url).set_entries(Some(batch.to_vec()));
        let sent = sent.send().await.context("the orders cannot be sent")?;
        if let Some(failed) = sent.failed.first() {
            bail!("an order was not taken: {}", failed.code());
        }
    }
    println!("produced {} events of {orders} orders", events.len());
    Ok(())
}
