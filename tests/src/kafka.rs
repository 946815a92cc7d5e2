//! A topic of a test's own, and the group that reads it, as somebody sees them who is neither.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use futures::future::join_all;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
};
use tokio::runtime::{Builder, Runtime};

use crate::processes::checker::Sent;

const PATIENCE: Duration = Duration::from_secs(60);

/// A topic and a group, and clients for them. Its calls wait, and are for threads outside a runtime.
pub struct KafkaTopic {
    /// Where the broker is.
    pub address: String,
    /// The topic's name, which nobody else has.
    pub name: String,
    /// The group that reads it.
    pub group: String,
    /// What was sent, by stream and entity.
    pub sent: Sent,
    runtime: Runtime,
    producer: FutureProducer,
    admin: AdminClient<DefaultClientContext>,
}

#[expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "this is for tests, which fail by panicking"
)]
impl KafkaTopic {
    /// Makes a topic.
    #[must_use]
    pub fn create(address: &str, partitions: i32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("oc-{}-{}-{number}", std::process::id(), started.as_micros());
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", address);
        // As Java's clients, and each entity's events in the order in which they are sent.
        let producer = config
            .clone()
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        let (group, admin) = (format!("{name}-group"), config.create().unwrap());
        let topic =
            Self { address: address.to_owned(), name, group, sent: Sent::new(), runtime, producer, admin };
        topic.make(&topic.name, partitions);
        topic
    }

    /// Makes another topic.
    pub fn make(&self, name: &str, partitions: i32) {
        let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let begin = Instant::now();
        // A topic that has just been deleted may still be on its way out.
        loop {
            let made = self.runtime.block_on(self.admin.create_topics([&new], &AdminOptions::new()));
            match made.map(|mut made| made.remove(0)) {
                Ok(Ok(_)) => break,
                other if begin.elapsed() > PATIENCE => panic!("{name} cannot be made: {other:?}"),
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Deletes the topic, and makes it again.
    pub fn recreate(&mut self, partitions: i32) {
        let name = self.name.clone();
        let deleted = self.runtime.block_on(self.admin.delete_topics(&[&name], &AdminOptions::new()));
        deleted.unwrap().remove(0).unwrap();
        self.make(&name, partitions);
        self.sent.clear();
    }

    /// Lets the topic have so many partitions in all, and the producer here know it.
    pub fn grow(&self, partitions: usize) {
        let new = NewPartitions::new(&self.name, partitions);
        let grown = self.runtime.block_on(self.admin.create_partitions([&new], &AdminOptions::new()));
        grown.unwrap().remove(0).unwrap();
        let begin = Instant::now();
        loop {
            // The answer is the producer's, too.
            let known = self.producer.client().fetch_metadata(Some(&self.name), PATIENCE).unwrap();
            if known.topics()[0].partitions().len() == partitions {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "the broker does not show what was added");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends an event of each of these entities, in this order, and waits until the broker has them.
    pub fn send<E: AsRef<str>>(&mut self, entities: impl IntoIterator<Item = E>) {
        let entities: Vec<String> = entities.into_iter().map(|entity| entity.as_ref().to_owned()).collect();
        let sends = entities.iter().map(|entity| {
            let headers = OwnedHeaders::new().insert(Header { key: "sent-by", value: Some("a test") });
            let event = FutureRecord::to(&self.name).key(entity).payload("an event").headers(headers);
            self.producer.send(event, PATIENCE)
        });
        let delivered = self.runtime.block_on(join_all(sends));
        for (entity, delivered) in entities.into_iter().zip(delivered) {
            let at = delivered.unwrap_or_else(|(error, _)| panic!("{entity} was not sent: {error}"));
            let stream = self.stream(at.partition);
            let index = u128::try_from(at.offset).unwrap();
            self.sent.entry((stream, entity)).or_default().insert(index);
        }
    }

    /// The name of a partition's stream.
    #[must_use]
    pub fn stream(&self, partition: i32) -> String {
        format!("{}/{partition}", self.name)
    }

    fn member(&self) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set("group.id", &self.group);
        config.create().unwrap()
    }

    fn partitions(&self, member: &BaseConsumer) -> i32 {
        let metadata = member.fetch_metadata(Some(&self.name), PATIENCE).unwrap();
        i32::try_from(metadata.topics()[0].partitions().len()).unwrap()
    }

    /// How many events the group is behind, in all: a partition of which it has committed nothing counts in full. Nothing
    /// while the broker does not answer.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        let member = self.member();
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions(&member) {
            asked.add_partition(&self.name, partition);
        }
        let committed = member.committed_offsets(asked, Duration::from_secs(5)).ok()?;
        let mut lag = 0;
        for element in committed.elements() {
            let (low, high) =
                member.fetch_watermarks(&self.name, element.partition(), Duration::from_secs(5)).ok()?;
            lag += high - if let Offset::Offset(offset) = element.offset() { offset } else { low };
        }
        Some(lag)
    }

    /// What is committed of a partition, with its metadata.
    #[must_use]
    pub fn committed(&self, partition: i32) -> Option<(i64, String)> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.name, partition);
        let committed = self.member().committed_offsets(asked, PATIENCE).unwrap();
        let element = committed.find_partition(&self.name, partition)?;
        let Offset::Offset(offset) = element.offset() else { return None };
        Some((offset, element.metadata().to_owned()))
    }

    /// Commits for the group, which must have no members: as an operator's tool would.
    pub fn commit(&self, partition: i32, offset: i64, metadata: &str) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        list.find_partition(&self.name, partition).unwrap().set_metadata(metadata);
        let begin = Instant::now();
        // The last member may still be on its way out.
        while let Err(error) = self.member().commit(&list, CommitMode::Sync) {
            assert!(begin.elapsed() < PATIENCE, "nothing can be committed: {error}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
