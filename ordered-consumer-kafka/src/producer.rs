//! The client that sends: made when it is first needed, and anew when it can do nothing more.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use bytes::Bytes;
use ordered_consumer::PublishError;
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::OwnedHeaders,
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{ConfigError, KafkaConfig, client_log, send_error::SendError};

/// The first wait for room in the client's queue; doubled each time.
const QUEUE_WAIT: Duration = Duration::from_millis(1);
const QUEUE_WAIT_MAX: Duration = Duration::from_millis(100);
/// The client says by `message.timeout.ms` what became of a record. This long afterwards it is taken for stuck.
const REPORT_GRACE: Duration = Duration::from_secs(5);
/// librdkafka's own.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(300);
const MESSAGE_BYTES_MAX: usize = 1_000_000;

/// A record on its way out. Bytes of a record that is not sent yet are kept, so that it can wait for room.
pub(crate) struct Outgoing<'r> {
    pub(crate) topic: &'r str,
    pub(crate) key: Option<Bytes>,
    pub(crate) payload: Option<&'r Bytes>,
    pub(crate) headers: OwnedHeaders,
}

type Report = Result<(), KafkaError>;

struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        client_log::log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<oneshot::Sender<Report>>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // Nobody waits for the report of a publish that was dropped.
        drop(report.send(result));
    }
}

/// Dropping a producer joins its thread and waits for its queue, so that is done where nobody waits.
struct Client(Option<ThreadedProducer<Context>>);

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(producer) = self.0.take() {
            drop(thread::Builder::new().name("kafka producer end".into()).spawn(move || drop(producer)));
        }
    }
}

/// The client in use, and how large a record the topic took when it was made.
struct Made {
    client: Arc<Client>,
    topic_max: Option<usize>,
}

/// See the module.
pub(crate) struct Producer {
    config: ClientConfig,
    made: Mutex<Option<Made>>,
    message_timeout: Duration,
}

impl Producer {
    pub(crate) fn new(config: &KafkaConfig) -> Result<Self, ConfigError> {
        let client = config.producer_config()?;
        let message_timeout = client.get("message.timeout.ms").or_else(|| client.get("delivery.timeout.ms"));
        let message_timeout = message_timeout.and_then(|millis| millis.parse().ok());
        Ok(Self {
            config: client,
            made: Mutex::default(),
            message_timeout: message_timeout.map_or(MESSAGE_TIMEOUT, Duration::from_millis),
        })
    }

    /// The largest record that the client lets pass.
    pub(crate) fn bytes_max(&self, topic_max: Option<usize>) -> usize {
        let set = self.config.get("message.max.bytes").and_then(|bytes| bytes.parse().ok());
        match (set, topic_max) {
            (Some(set), Some(topic)) => topic.min(set),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => MESSAGE_BYTES_MAX,
        }
    }

    /// Sends one record, and waits until the broker has it. Dropped, it has been sent or not.
    pub(crate) async fn send(
        &self,
        record: Outgoing<'_>,
        topic_max: Option<usize>,
    ) -> Result<(), PublishError> {
        let topic = record.topic.to_owned();
        let client = self.client(topic_max).map_err(|error| PublishError::Unavailable(error.into()))?;
        let sent = match self.enqueue(&client, record).await {
            Ok(report) => match timeout(self.message_timeout.saturating_add(REPORT_GRACE), report).await {
                Ok(Ok(report)) => report,
                Ok(Err(_)) => Err(KafkaError::Canceled),
                Err(_) => Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut)),
            },
            Err(error) => Err(error),
        };
        sent.map_err(|error| {
            self.drop_if_dead(&client, &error);
            SendError::new(topic, error).into()
        })
    }

    /// Puts the record into the client's queue, waiting for room there.
    async fn enqueue(
        &self,
        client: &Client,
        record: Outgoing<'_>,
    ) -> Result<oneshot::Receiver<Report>, KafkaError> {
        let Some(producer) = client.0.as_ref() else { return Err(KafkaError::Canceled) };
        let (tell, report) = oneshot::channel();
        let Outgoing { topic, key, payload, headers } = record;
        let mut headers = Some(headers);
        let mut tell = Some(Box::new(tell));
        let give_up = Instant::now() + self.message_timeout;
        let mut wait = QUEUE_WAIT;
        while let Some(opaque) = tell.take() {
            let mut record = BaseRecord::<'_, [u8], [u8], _>::with_opaque_to(topic, opaque);
            (record.key, record.payload) = (key.as_deref(), payload.map(AsRef::as_ref));
            record.headers = headers.take();
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused))
                    if Instant::now() < give_up =>
                {
                    (tell, headers) = (Some(refused.delivery_opaque), refused.headers);
                }
                Err((error, _)) => return Err(error),
            }
            sleep(wait).await;
            wait = (wait * 2).min(QUEUE_WAIT_MAX);
        }
        Ok(report)
    }

    /// The client, made for records of the size that the topic takes now.
    fn client(&self, topic_max: Option<usize>) -> Result<Arc<Client>, ConfigError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.topic_max == topic_max) {
            return Ok(Arc::clone(&made.client));
        }
        let mut config = self.config.clone();
        if let Some(topic_max) = topic_max {
            config.set(
                "message.max.bytes",
                self.bytes_max(Some(topic_max)).clamp(1_000, 1_000_000_000).to_string(),
            );
            // The broker refuses a batch as a whole, so that one over the topic's limit would take small records along.
            let batch = config.get("batch.size").and_then(|bytes| bytes.parse().ok());
            let batch = batch.unwrap_or(MESSAGE_BYTES_MAX).min(topic_max).max(1);
            config.set("batch.size", batch.to_string());
            // A record that is larger than the whole queue would wait for room for ever.
            let queue =
                config.get("queue.buffering.max.kbytes").and_then(|kib| kib.parse().ok()).unwrap_or(0);
            let queue = queue.max(topic_max / 512).clamp(1, 2_147_483_647);
            config.set("queue.buffering.max.kbytes", queue.to_string());
        }
        let client = config.create_with_context::<_, ThreadedProducer<Context>>(Context);
        let client = client.map_err(|error| KafkaConfig::client_error(&error))?;
        let client = Arc::new(Client(Some(client)));
        *made = Some(Made { client: Arc::clone(&client), topic_max });
        Ok(client)
    }

    /// A client that had a fatal error sends nothing any more: the next publish has another one.
    fn drop_if_dead(&self, client: &Arc<Client>, error: &KafkaError) {
        let fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
            || client.0.as_ref().is_some_and(|producer| producer.client().fatal_error().is_some());
        if !fatal {
            return;
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.as_ref().is_some_and(|made| Arc::ptr_eq(&made.client, client)) {
            tracing::warn!("the Kafka producer had a fatal error, and is made anew");
            *made = None;
        }
    }
}
