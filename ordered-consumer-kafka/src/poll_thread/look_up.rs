//! Questions to the broker that the client only asks by blocking, asked by a thread of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use ordered_consumer::{Index, SourceError};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::{Client, PollThread};
use crate::{
    StartAt,
    source_context::Place,
    source_link::{Command, LastOffsets},
};

/// Who asks, for what.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) epoch: u64,
    pub(crate) beginning: u64,
    pub(crate) place: Place,
}

/// Where a partition begins.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) offset: i64,
    pub(crate) metadata: String,
    /// How many partitions the topic has.
    pub(crate) partitions: u32,
}

/// Why there is no such place.
#[derive(Debug)]
pub(crate) enum NoStart {
    /// Nothing is committed, and the configuration says that this is an error.
    Nowhere,
    Failed(KafkaError),
}

/// The answers.
#[derive(Debug)]
pub(crate) enum Looked {
    /// Where partitions begin.
    Starts(Vec<(Question, Result<Start, NoStart>)>),
    /// The first offset that a partition has, and the one after its last.
    Range(Question, KafkaResult<(i64, i64)>),
    /// What the broker says of each topic, where it can be asked.
    Topics(Vec<(String, Option<RDKafkaErrorCode>)>),
}

impl PollThread {
    /// Asks where these partitions begin.
    pub(super) fn look_up_starts(&self, questions: Vec<Question>) {
        let (start_at, timeout) = (self.options.start_at, self.options.request_timeout);
        self.look_up(move |client| Looked::Starts(starts(client, &questions, start_at, timeout)));
    }

    /// Asks what a partition has.
    pub(super) fn look_up_range(&self, question: Question) {
        let timeout = self.options.request_timeout;
        self.look_up(move |client| {
            let range = client.fetch_watermarks(&question.place.0, question.place.1, timeout);
            Looked::Range(question, range)
        });
    }

    /// Asks how far the topic's first partitions reach.
    pub(super) fn look_up_last_offsets(&self, topic: String, partitions: u32, reply: LastOffsets) {
        let timeout = self.options.request_timeout;
        self.look_up_and(move |client| {
            let last = |partition: u32| {
                let partition = i32::try_from(partition).unwrap_or(i32::MAX);
                let (_, high) = client.fetch_watermarks(&topic, partition, timeout)?;
                Ok(u64::try_from(high).ok().and_then(|high| high.checked_sub(1)).map(Index::from))
            };
            let found: KafkaResult<Vec<Option<Index>>> = (0..partitions).map(last).collect();
            // Whoever asked may have stopped waiting.
            drop(reply.send(found.map_err(|error| SourceError::Unavailable(Box::new(error)))));
            None
        });
    }

    /// Asks whether the topics are there.
    pub(super) fn look_up_topics(&self) {
        let topics: Vec<String> = self.options.all_topics().map(str::to_owned).collect();
        let timeout = self.options.request_timeout;
        self.look_up(move |client| {
            let state = |topic: &String| match client.fetch_metadata(Some(topic), timeout) {
                Ok(metadata) => metadata.topics().iter().find_map(|topic| topic.error()).map(Into::into),
                // It will be asked again.
                Err(_) => None,
            };
            Looked::Topics(topics.iter().map(|topic| (topic.clone(), state(topic))).collect())
        });
    }

    fn look_up(&self, look: impl FnOnce(&Client) -> Looked + Send + 'static) {
        self.look_up_and(move |client| Some(look(client)));
    }

    fn look_up_and(&self, look: impl FnOnce(&Client) -> Option<Looked> + Send + 'static) {
        let client = Arc::clone(&self.client);
        let (tell, link) = (self.tell.clone(), Arc::clone(&self.link));
        let run = move || {
            let looked = look(&client);
            drop(client);
            if let Some(looked) = looked {
                drop(tell.send(Command::Looked(looked)));
                link.wake();
            }
        };
        if let Err(error) = thread::Builder::new().name("kafka-look-up".to_owned()).spawn(run) {
            tracing::error!(%error, "no thread can be started to ask the broker something; the question is lost");
        }
    }
}

fn starts(
    client: &Client,
    questions: &[Question],
    start_at: StartAt,
    timeout: Duration,
) -> Vec<(Question, Result<Start, NoStart>)> {
    let mut asked = TopicPartitionList::with_capacity(questions.len());
    for question in questions {
        asked.add_partition(&question.place.0, question.place.1);
    }
    let committed = client.committed_offsets(asked, timeout);
    let counts = partition_counts(client, questions, timeout);
    let answer = |question: &Question| match (&committed, &counts) {
        (Ok(committed), Ok(counts)) => {
            let partitions = counts.get(&question.place.0).copied().unwrap_or(0);
            start(client, committed, &question.place, start_at, timeout).map(|(offset, metadata)| Start {
                offset,
                metadata,
                partitions,
            })
        }
        (Err(error), _) | (_, Err(error)) => Err(NoStart::Failed(error.clone())),
    };
    questions.iter().map(|question| (question.clone(), answer(question))).collect()
}

/// How many partitions each of the topics has, as the broker says now.
fn partition_counts(
    client: &Client,
    questions: &[Question],
    timeout: Duration,
) -> KafkaResult<BTreeMap<String, u32>> {
    let topics: BTreeSet<&String> = questions.iter().map(|question| &question.place.0).collect();
    let mut counts = BTreeMap::new();
    for topic in topics {
        let metadata = client.fetch_metadata(Some(topic), timeout)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let count = found.map_or(0, |found| u32::try_from(found.partitions().len()).unwrap_or(u32::MAX));
        counts.insert(topic.clone(), count);
    }
    Ok(counts)
}

fn start(
    client: &Client,
    committed: &TopicPartitionList,
    (topic, partition): &Place,
    start_at: StartAt,
    timeout: Duration,
) -> Result<(i64, String), NoStart> {
    let Some(found) = committed.find_partition(topic, *partition) else {
        return Err(NoStart::Failed(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition)));
    };
    found.error().map_err(NoStart::Failed)?;
    if let Offset::Offset(offset) = found.offset() {
        // What is no UTF-8 is another program's, and the client panics on it: as if there were none.
        let metadata = catch_unwind(AssertUnwindSafe(|| found.metadata().to_owned())).unwrap_or_default();
        return Ok((offset, metadata));
    }
    if start_at == StartAt::Error {
        return Err(NoStart::Nowhere);
    }
    let (low, high) = client.fetch_watermarks(topic, *partition, timeout).map_err(NoStart::Failed)?;
    let offset = if start_at == StartAt::Latest { high } else { low };
    Ok((offset, String::new()))
}
