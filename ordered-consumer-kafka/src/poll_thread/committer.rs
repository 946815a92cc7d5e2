//! The thread that commits.
//!
//! In rdkafka 0.39 an asynchronous commit has no answer: its callback is called for automatic commits only. A synchronous
//! one has an answer and waits for it for as long as the coordinator is away, so that it is sent by a thread of its own.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::Client;
use crate::{
    source_context::Place,
    source_link::{Command, Link},
};

/// What is to be committed for one partition.
#[derive(Debug)]
pub(super) struct ToCommit {
    pub(super) place: Place,
    pub(super) offset: i64,
    pub(super) metadata: String,
}

/// See the module.
pub(super) struct Committer {
    jobs: mpsc::Sender<Vec<ToCommit>>,
    thread: JoinHandle<()>,
}

impl Committer {
    pub(super) fn start(
        client: Arc<Client>,
        tell: mpsc::Sender<Command>,
        link: Arc<Link>,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Vec<ToCommit>>();
        let run = move || {
            while let Ok(job) = queue.recv() {
                let refused = commit(&client, &job).err();
                let code = refused.map(|error| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
                drop(tell.send(Command::Committed(code)));
                link.wake();
            }
        };
        let thread = thread::Builder::new().name("kafka-commit".to_owned()).spawn(run)?;
        Ok(Self { jobs, thread })
    }

    pub(super) fn commit(&self, job: Vec<ToCommit>) -> bool {
        self.jobs.send(job).is_ok()
    }

    /// Waits for the commit under way, if there is one.
    pub(super) fn end(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("the thread that commits has panicked");
        }
    }
}

fn commit(client: &Client, job: &[ToCommit]) -> KafkaResult<()> {
    let mut offsets = TopicPartitionList::with_capacity(job.len());
    for part in job {
        let mut added = offsets.add_partition(&part.place.0, part.place.1);
        added.set_offset(Offset::Offset(part.offset))?;
        if !part.metadata.is_empty() {
            added.set_metadata(&part.metadata);
        }
    }
    match client.commit(&offsets, CommitMode::Sync) {
        // Nothing was left to commit.
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        answer => answer,
    }
}
