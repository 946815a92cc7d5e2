//! The client, and what there must be before the program begins.

use anyhow::{Context as _, Result};
use aws_config::BehaviorVersion;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// A client by ordinary AWS configuration.
pub(super) async fn client() -> Client {
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await;
    Client::new(&config)
}

/// The URL of the queue of this name, which is made unless it is there already.
pub(super) async fn url(client: &Client, name: &str) -> Result<String> {
    let there = client.get_queue_url().queue_name(name).send().await;
    if let Some(url) = there.ok().and_then(|there| there.queue_url) {
        return Ok(url);
    }
    let made = client
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::FifoQueue, "true")
        // Handlers have a minute unless that is changed.
        .attributes(QueueAttributeName::VisibilityTimeout, "60");
    let made = made.send().await.with_context(|| format!("the queue {name} cannot be made"))?;
    println!("made the queue {name}");
    made.queue_url.with_context(|| format!("the queue {name} has no URL"))
}
