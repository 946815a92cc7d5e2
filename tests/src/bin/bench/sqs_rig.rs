//! What the benchmarks with Amazon SQS are built from: clients, queues, messages, and consumers of ours.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Builder, Credentials, Region},
    types::{
        Message, MessageSystemAttributeName as System, QueueAttributeName as Attribute,
        SendMessageBatchRequestEntry as Entry,
    },
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ordered_consumer::{FailureLog, Handler, OrderedConsumer};
use ordered_consumer_sqs::{SqsPublisher, SqsSource};
use tokio::runtime::Runtime;

use crate::{
    rig,
    sqs_tally::{Counting, Tally},
};

/// What a consumer of ours is set up with for its endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Tuning {
    receivers: usize,
    deleting_max: usize,
    delete_linger: Duration,
}

/// For an endpoint to which groups in flight are costly, as the adapter's documentation says of ElasticMQ.
pub(crate) const TUNED: Tuning =
    Tuning { receivers: 8, deleting_max: 20, delete_linger: Duration::from_millis(10) };
/// As many as SQS takes and gives at once.
pub(crate) const BATCH_MAX: usize = 10;
/// How long a receive waits, in every arm: only at the end of a run is there nothing to receive.
pub(crate) const WAIT: Duration = Duration::from_secs(1);
/// Bytes of a message's body.
const BODY_BYTES: usize = 200;
/// Requests at once while a queue is filled.
const SENDERS: usize = 8;

/// The endpoint that SQS_ENDPOINT_URL names.
pub(crate) fn endpoint() -> Option<String> {
    std::env::var("SQS_ENDPOINT_URL").ok().filter(|url| !url.is_empty())
}

/// A client of its own, with connections of its own; the same settings in every arm, and the SDK's own otherwise.
async fn client(tally: Option<Arc<Tally>>) -> anyhow::Result<Client> {
    let url = endpoint().context("SQS_ENDPOINT_URL names no endpoint")?;
    let plain_http = aws_smithy_http_client::Builder::new().build_http();
    let mut config =
        aws_config::defaults(BehaviorVersion::latest()).http_client(plain_http).endpoint_url(url);
    // What an emulator does not look at.
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        config = config.credentials_provider(Credentials::new("test", "test", None, None, "bench"));
    }
    if std::env::var_os("AWS_REGION").is_none() {
        config = config.region(Region::new("us-east-1"));
    }
    let mut config = Builder::from(&config.load().await);
    if let Some(tally) = tally {
        config = config.interceptor(Counting(tally));
    }
    Ok(Client::from_conf(config.build()))
}

/// A FIFO queue of this run's own, deleted when it is dropped.
pub(crate) struct Queue<'a> {
    pub(crate) url: String,
    client: Client,
    pub(crate) runtime: &'a Runtime,
}

impl<'a> Queue<'a> {
    pub(crate) fn create(
        runtime: &'a Runtime,
        what: &str,
        attributes: &[(Attribute, &str)],
    ) -> anyhow::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let attributes = attributes.iter().map(|(name, value)| (name.clone(), (*value).to_owned()));
        let attributes: HashMap<_, _> =
            attributes.chain([(Attribute::FifoQueue, "true".to_owned())]).collect();
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        // Two that are made at once are two.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench-{what}-{}-{since}-{number}.fifo", std::process::id());
        let (client, created) = runtime.block_on(async {
            let client = client(None).await?;
            let creating = client.create_queue().queue_name(name).set_attributes(Some(attributes));
            let created = creating.send().await.context("a queue cannot be made")?;
            anyhow::Ok((client, created))
        })?;
        Ok(Self { url: created.queue_url.context("the queue has no URL")?, client, runtime })
    }

    /// Sends messages of these groups.
    pub(crate) fn fill(&self, groups: impl Iterator<Item = String>) -> anyhow::Result<()> {
        let groups: Vec<String> = groups.collect();
        let sending = groups.chunks(BATCH_MAX).map(|groups| self.send(groups));
        self.runtime.block_on(stream::iter(sending).buffer_unordered(SENDERS).try_collect::<()>())
    }

    async fn send(&self, groups: &[String]) -> anyhow::Result<()> {
        static SENT: AtomicU64 = AtomicU64::new(0);
        let entries = groups.iter().enumerate().map(|(place, group)| {
            let number = SENT.fetch_add(1, Ordering::Relaxed);
            let entry = Entry::builder().id(place.to_string()).message_group_id(group);
            // Within five minutes the same id would be taken for the same message, in another process, too.
            let entry = entry.message_deduplication_id(format!("{}-{number}", std::process::id()));
            entry.message_body("x".repeat(BODY_BYTES)).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let sending = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let sent = sending.send().await.context("messages cannot be sent")?;
        anyhow::ensure!(sent.failed.is_empty(), "{} messages were not taken", sent.failed.len());
        Ok(())
    }

    /// One of the queue's attributes.
    pub(crate) fn attribute(&self, name: &Attribute) -> anyhow::Result<String> {
        let asking = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let answer = self.runtime.block_on(asking.send()).context("a queue's attributes cannot be read")?;
        answer.attributes.and_then(|mut all| all.remove(name)).context("the queue has no such attribute")
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        let deleted = self.runtime.block_on(self.client.delete_queue().queue_url(&self.url).send());
        if deleted.is_err() {
            eprintln!("queue {} is left behind", self.url);
        }
    }
}

/// Runs a consumer of ours until the tally is done; untuned, it has the adapter's own defaults.
pub(crate) fn ours<H: Handler>(
    queue: &Queue<'_>,
    retry: Option<&Queue<'_>>,
    tuning: Option<Tuning>,
    handler: H,
    failures: impl FailureLog,
    tally: &Arc<Tally>,
) -> anyhow::Result<()> {
    let (url, retry, tally) = (queue.url.clone(), retry.map(|retry| retry.url.clone()), Arc::clone(tally));
    rig::in_time(queue.runtime, async move {
        let client = client(Some(Arc::clone(&tally))).await?;
        let mut source = SqsSource::builder(client.clone(), url).wait(WAIT);
        if let Some(Tuning { receivers, deleting_max, delete_linger }) = tuning {
            source = source.receivers(receivers).deleting_max(deleting_max).delete_linger(delete_linger);
        }
        let mut consumer = OrderedConsumer::new("bench", handler, failures);
        if let Some(retry) = retry {
            source = source.retry_queue(&retry);
            consumer = consumer.with_publisher(SqsPublisher::open(client, retry).await?);
        }
        consumer.run_until(source.open().await?, async { tally.done().await }).await?;
        Ok(())
    })
}

/// A message's system attribute; nothing if it has none.
pub(crate) fn attribute<'m>(message: &'m Message, name: &System) -> &'m str {
    message.attributes().and_then(|all| all.get(name)).map_or("", String::as_str)
}

/// A client whose requests are counted.
pub(crate) async fn counted(tally: &Arc<Tally>) -> anyhow::Result<Client> {
    client(Some(Arc::clone(tally))).await
}
