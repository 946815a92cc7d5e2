//! What the benchmarks with Apache Kafka are built from: topics, records, bare consumers, and ours.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use ordered_consumer::{Event, Handler, Limits, OrderedConsumer, SqliteFailureLog};
use ordered_consumer_kafka::{KafkaConfig, KafkaPublisher, KafkaSource};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};
use tokio::runtime::Runtime;

use crate::meter::Meter;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 12;
/// Bytes of a record's value.
pub(crate) const PAYLOAD_BYTES: usize = 200;
/// How long anything may take before something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// What every consumer of these benchmarks is given, bare or ours; what is not here is librdkafka's default in both.
const SETTINGS: [(&str, &str); 5] = [
    ("fetch.queue.backoff.ms", "50"),
    ("fetch.wait.max.ms", "100"),
    ("auto.offset.reset", "earliest"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "45000"),
];

/// The broker that KAFKA_BOOTSTRAP_SERVERS names.
pub(crate) fn servers() -> Option<String> {
    std::env::var("KAFKA_BOOTSTRAP_SERVERS").ok().filter(|servers| !servers.is_empty())
}

/// A topic or group of this run's own.
pub(crate) fn name(what: &str) -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("bench-{what}-{}-{}", std::process::id(), since.as_nanos())
}

fn client() -> anyhow::Result<ClientConfig> {
    let servers = servers().context("KAFKA_BOOTSTRAP_SERVERS names no broker")?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    Ok(config)
}

/// A topic of this run's own, deleted when it is dropped.
pub(crate) struct Topic<'a> {
    pub(crate) name: String,
    admin: AdminClient<DefaultClientContext>,
    runtime: &'a Runtime,
}

impl<'a> Topic<'a> {
    pub(crate) fn create(runtime: &'a Runtime, what: &str) -> anyhow::Result<Self> {
        let (name, admin) = (name(what), client()?.create::<AdminClient<_>>()?);
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        for created in runtime.block_on(admin.create_topics([&topic], &options))? {
            created.map_err(|(_, why)| KafkaError::AdminOp(why)).context("cannot create a topic")?;
        }
        Ok(Self { name, admin, runtime })
    }
}

impl Drop for Topic<'_> {
    fn drop(&mut self) {
        let deleted = self.runtime.block_on(self.admin.delete_topics(&[&self.name], &AdminOptions::new()));
        if let Err(error) = deleted {
            eprintln!("topic {} is left behind: {error}", self.name);
        }
    }
}

/// Writes records in the order of the calls, by Java's partitioning.
pub(crate) struct Writer(ThreadedProducer<DefaultProducerContext>);

impl Writer {
    /// Batches are filled for so long.
    pub(crate) fn new(linger: Duration) -> anyhow::Result<Self> {
        let mut config = client()?;
        config
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", linger.as_millis().to_string());
        Ok(Self(config.create()?))
    }

    /// Hands a record over, waiting while the queue is full.
    pub(crate) fn write(&self, topic: &str, key: &str, payload: &[u8]) -> anyhow::Result<()> {
        let mut record = BaseRecord::to(topic).key(key).payload(payload);
        loop {
            match self.0.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    std::thread::sleep(Duration::from_millis(1));
                    record = refused;
                }
                Err((error, _)) => return Err(error).context("cannot write a record"),
            }
        }
    }

    /// Waits until the broker has everything.
    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        self.0.flush(PATIENCE).context("the broker has not taken every record")
    }
}

/// Fills a topic with records of these entities.
pub(crate) fn fill(topic: &Topic<'_>, entities: impl Iterator<Item = usize>) -> anyhow::Result<()> {
    let writer = Writer::new(Duration::from_millis(20))?;
    for number in entities {
        writer.write(&topic.name, &crate::rig::entity("entity", number), &[b'x'; PAYLOAD_BYTES])?;
    }
    writer.flush()
}

/// A bare consumer of a group of its own, which commits by itself and only what it was told.
pub(crate) fn bare(topic: &Topic<'_>) -> anyhow::Result<StreamConsumer> {
    let mut config = client()?;
    config.set("group.id", name("bare"));
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    // For all partitions together here, and 10,000 and 8 MiB for each with ours, which has a queue for each.
    config.set("queued.min.messages", "120000").set("queued.max.messages.kbytes", "98304");
    for (name, value) in SETTINGS {
        config.set(name, value);
    }
    // It starts a task that wakes it.
    let _entered = topic.runtime.enter();
    let consumer: StreamConsumer = config.create()?;
    consumer.subscribe(&[&topic.name])?;
    Ok(consumer)
}

/// A consumer of ours with a failure log and a group of its own.
pub(crate) struct Ours<'a> {
    runtime: &'a Runtime,
    group: String,
    limits: Limits,
    /// Dropped with it; the failure log is a SQLite file in it.
    directory: tempfile::TempDir,
}

impl<'a> Ours<'a> {
    pub(crate) fn new(runtime: &'a Runtime, limits: Limits) -> anyhow::Result<Self> {
        Ok(Self { runtime, group: name("ours"), limits, directory: tempfile::tempdir()? })
    }

    /// Its failure log, opened.
    pub(crate) fn failures(&self) -> anyhow::Result<SqliteFailureLog> {
        let file = self.directory.path().join("failures.db");
        Ok(self.runtime.block_on(SqliteFailureLog::open(file))?)
    }

    pub(crate) fn consumer<H: Handler>(&self, handler: H) -> anyhow::Result<OrderedConsumer<H>> {
        let consumer = OrderedConsumer::new(&self.group, handler, self.failures()?);
        Ok(consumer.with_limits(self.limits.clone()))
    }

    /// Consumes the topic until the meter is done.
    pub(crate) fn run<H: Handler>(
        &self,
        topic: &Topic<'_>,
        handler: H,
        meter: &Arc<Meter>,
    ) -> anyhow::Result<()> {
        let (consumer, source) = (self.consumer(handler)?, self.source(&[topic], None)?);
        let meter = Arc::clone(meter);
        crate::rig::in_time(self.runtime, async move { Ok(consumer.run_until(source, meter.done()).await?) })
    }

    /// With a retry topic, if one is named.
    pub(crate) fn source(
        &self,
        topics: &[&Topic<'_>],
        retry: Option<&Topic<'_>>,
    ) -> anyhow::Result<KafkaSource> {
        let _entered = self.runtime.enter();
        let mut source = KafkaSource::builder(self.config()?, topics.iter().map(|topic| &topic.name));
        if let Some(retry) = retry {
            source = source.retry_topic(&retry.name);
        }
        Ok(source.subscribe()?)
    }

    /// Where released events go.
    pub(crate) fn publisher(&self, retry: &Topic<'_>) -> anyhow::Result<KafkaPublisher> {
        let _entered = self.runtime.enter();
        Ok(KafkaPublisher::new(&self.config()?, &retry.name)?)
    }

    fn config(&self) -> anyhow::Result<KafkaConfig> {
        let servers = servers().context("KAFKA_BOOTSTRAP_SERVERS names no broker")?;
        let config = KafkaConfig::new(servers, &self.group);
        Ok(SETTINGS.iter().fold(config, |config, (name, value)| config.set_for_consumer(*name, *value)))
    }
}

/// The number in an entity's key.
pub(crate) fn entity_number(event: &Event) -> usize {
    let digits = event.entity().rsplit(|byte| *byte == b'-').next();
    digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(usize::MAX)
}
