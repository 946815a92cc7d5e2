//! A FIFO queue of a test's own, as somebody sees it who does not consume it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::{
    Client,
    config::Credentials,
    types::{
        ChangeMessageVisibilityBatchRequestEntry as Visible, Message, MessageAttributeValue,
        MessageSystemAttributeName as System, QueueAttributeName as Attribute,
    },
};
use aws_smithy_http_client::Builder as HttpBuilder;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::{
    postgres::variable,
    processes::{checker::Sent, team::Input},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// The attribute that has an event's id.
pub const ID: &str = "event-id";

/// A client of this endpoint, with whatever credentials and region the environment names, or some that no emulator looks at.
pub async fn client(endpoint: &str) -> Client {
    let mut config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(HttpBuilder::new().build_http())
        .endpoint_url(endpoint);
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        config = config.credentials_provider(Credentials::new("test", "test", None, None, "tests"));
    }
    if std::env::var_os("AWS_REGION").is_none() {
        config = config.region(Region::new("us-east-1"));
    }
    Client::new(&config.load().await)
}

/// A queue, a queue for copies, and a client for them. Its calls wait, and are for threads outside a runtime.
pub struct SqsQueue {
    /// Where the endpoint is.
    pub endpoint: String,
    /// The queue's name, which nobody else has, and its stream's.
    pub name: String,
    /// Where the queue is.
    pub url: String,
    /// Where its queue for copies is.
    pub retry_url: String,
    /// What was sent, by stream and entity.
    pub sent: Sent,
    /// Bytes by which what is sent from now on is longer.
    pub padding: usize,
    numbers: u64,
    visibility: Duration,
    runtime: Runtime,
    client: Client,
}

#[expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "this is for tests, which fail by panicking"
)]
impl SqsQueue {
    /// Makes the queues; what is received of them is invisible for so long.
    #[must_use]
    pub fn create(visibility: Duration) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let endpoint = variable("SQS_ENDPOINT_URL");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(client(&endpoint));
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("oc-{}-{started}-{number}.fifo", std::process::id());
        let (url, retry_url, sent) = (String::new(), String::new(), Sent::new());
        let mut queue = Self {
            endpoint,
            name,
            url,
            retry_url,
            sent,
            padding: 0,
            numbers: 0,
            visibility,
            runtime,
            client,
        };
        queue.url = queue.make(&queue.name);
        queue.retry_url = queue.make(&format!("retry-{}", queue.name));
        queue
    }

    fn make(&self, name: &str) -> String {
        let request = self
            .client
            .create_queue()
            .queue_name(name)
            .attributes(Attribute::VisibilityTimeout, self.visibility.as_secs().to_string())
            .attributes(Attribute::FifoQueue, "true");
        self.runtime.block_on(request.send()).unwrap().queue_url.unwrap()
    }

    /// Sends an event of each of these entities, in this order, and waits until the queue has them.
    pub fn send<E: AsRef<str>>(&mut self, entities: impl IntoIterator<Item = E>) {
        for entity in entities {
            let id = format!("id-{}", self.numbers);
            self.send_with_id(entity.as_ref(), &id);
        }
    }

    /// Sends an event with this event id: an attribute, because SQS itself would not deliver a deduplication id twice.
    pub fn send_with_id(&mut self, entity: &str, id: &str) {
        let id = MessageAttributeValue::builder().data_type("String").string_value(id).build().unwrap();
        self.numbers += 1;
        // One by one: ElasticMQ names no sequence numbers in its answers to batches.
        let request = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_body(format!("event {}{}", self.numbers, ".".repeat(self.padding)))
            .message_group_id(entity)
            .message_deduplication_id(format!("d{}", self.numbers))
            .message_attributes(ID, id);
        let sent = self.runtime.block_on(request.send()).unwrap();
        let index = sent.sequence_number.unwrap().parse().unwrap();
        self.sent.entry((self.name.clone(), entity.to_owned())).or_default().insert(index);
    }

    /// Looks at copies on the retry queue until it has seen one of each of these entities, and gives them back: by entity, as
    /// the copies themselves name it, the groups in which they were.
    #[must_use]
    pub fn groups_of_copies(&self, entities: &[&str]) -> BTreeMap<String, Vec<String>> {
        let (mut groups, begin) = (BTreeMap::<String, Vec<String>>::new(), Instant::now());
        while !entities.iter().all(|entity| groups.contains_key(*entity)) {
            assert!(begin.elapsed() < PATIENCE, "there are copies of {:?} only", groups.keys());
            let messages = self.receive_copies();
            for message in &messages {
                let copied = &message.message_attributes.as_ref().unwrap()["ordered-consumer"];
                let copied: Value = serde_json::from_str(copied.string_value().unwrap()).unwrap();
                let group = message.attributes.as_ref().unwrap()[&System::MessageGroupId].clone();
                groups.entry(copied["entity"].as_str().unwrap().to_owned()).or_default().push(group);
            }
            let visible = messages.iter().enumerate().rev().map(|(place, message)| {
                let entry = Visible::builder().id(place.to_string()).visibility_timeout(0);
                entry.receipt_handle(message.receipt_handle().unwrap()).build().unwrap()
            });
            let visible: Vec<Visible> = visible.collect();
            if !visible.is_empty() {
                let request = self.client.change_message_visibility_batch().queue_url(&self.retry_url);
                self.runtime.block_on(request.set_entries(Some(visible)).send()).unwrap();
            }
        }
        groups
    }

    fn receive_copies(&self) -> Vec<Message> {
        let request = self
            .client
            .receive_message()
            .queue_url(&self.retry_url)
            .max_number_of_messages(10)
            .wait_time_seconds(1)
            .message_system_attribute_names(System::All)
            .message_attribute_names("All");
        self.runtime.block_on(request.send()).unwrap().messages.unwrap_or_default()
    }
}

impl Input for SqsQueue {
    const DONE: &'static str = "everything is deleted";

    fn sent(&self) -> &Sent {
        &self.sent
    }

    /// How many messages the queues have, in flight or not. Nothing while the endpoint does not answer.
    fn lag(&self) -> Option<i64> {
        let mut lag = 0;
        for url in [&self.url, &self.retry_url] {
            let request = self.client.get_queue_attributes().queue_url(url);
            let request = request.attribute_names(Attribute::All);
            let attributes = self.runtime.block_on(request.send()).ok()?.attributes?;
            let count = |name| attributes.get(&name).and_then(|text| text.parse::<i64>().ok());
            lag += count(Attribute::ApproximateNumberOfMessages)?
                + count(Attribute::ApproximateNumberOfMessagesNotVisible)?;
        }
        Some(lag)
    }

    fn send(&mut self, entities: Vec<String>) {
        Self::send(self, entities);
    }
}
