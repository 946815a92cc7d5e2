//! Questions to the broker that the client only asks by blocking, asked by a thread of their own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{Client, PollThread};
use crate::{source_context::Place, source_link::Command, source_options::Begin};

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
pub(crate) struct Looked(pub(crate) Vec<(Question, Result<Start, NoStart>)>);

impl PollThread {
    /// Asks where these partitions begin.
    pub(super) fn look_up(&mut self, questions: Vec<Question>) {
        let client = Arc::clone(&self.client);
        let (begin, timeout) = (self.options.begin, self.options.request_timeout);
        let (tell, link) = (self.tell.clone(), Arc::clone(&self.link));
        let asked = questions.clone();
        let look = move || {
            let looked = starts(&client, &questions, begin, timeout);
            drop(client);
            drop(tell.send(Command::Looked(Looked(looked))));
            link.wake();
        };
        self.looking = true;
        if let Err(error) = thread::Builder::new().name("kafka-look-up".to_owned()).spawn(look) {
            tracing::warn!(%error, "no thread can be started to ask the broker for committed offsets");
            let failed =
                || NoStart::Failed(KafkaError::OffsetFetch(RDKafkaErrorCode::CriticalSystemResource));
            let looked = asked.into_iter().map(|question| (question, Err(failed()))).collect();
            drop(self.tell.send(Command::Looked(Looked(looked))));
        }
    }
}

fn starts(
    client: &Client,
    questions: &[Question],
    begin: Begin,
    timeout: Duration,
) -> Vec<(Question, Result<Start, NoStart>)> {
    let mut asked = TopicPartitionList::with_capacity(questions.len());
    for question in questions {
        asked.add_partition(&question.place.0, question.place.1);
    }
    let committed = client.committed_offsets(asked, timeout);
    let answer = |question: &Question| match &committed {
        Ok(committed) => start(client, committed, &question.place, begin, timeout),
        Err(error) => Err(NoStart::Failed(error.clone())),
    };
    questions.iter().map(|question| (question.clone(), answer(question))).collect()
}

fn start(
    client: &Client,
    committed: &TopicPartitionList,
    (topic, partition): &Place,
    begin: Begin,
    timeout: Duration,
) -> Result<Start, NoStart> {
    let Some(found) = committed.find_partition(topic, *partition) else {
        return Err(NoStart::Failed(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition)));
    };
    found.error().map_err(NoStart::Failed)?;
    if let Offset::Offset(offset) = found.offset() {
        // What is no UTF-8 is another program's, and the client panics on it: as if there were none.
        let metadata = catch_unwind(AssertUnwindSafe(|| found.metadata().to_owned())).unwrap_or_default();
        return Ok(Start { offset, metadata });
    }
    if begin == Begin::Nowhere {
        return Err(NoStart::Nowhere);
    }
    let (low, high) = client.fetch_watermarks(topic, *partition, timeout).map_err(NoStart::Failed)?;
    let offset = if begin == Begin::Latest { high } else { low };
    Ok(Start { offset, metadata: String::new() })
}
