//! What a client asks of SQS, and what SQS deletes for it: counted in the client, for every arm in the same way.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use aws_sdk_sqs::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{
            AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextRef,
            BeforeTransmitInterceptorContextRef,
        },
    },
    error::BoxError,
    operation::{
        delete_message_batch::{DeleteMessageBatchInput, DeleteMessageBatchOutput},
        receive_message::ReceiveMessageOutput,
    },
    types::{Message, MessageSystemAttributeName as System},
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use tokio::{sync::watch, time::Instant};

use crate::{process_use::cpu_nanos_with_ended, sqs_rig::attribute};

/// How things stood when so many messages were deleted.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    deleted: usize,
    deleted_apart: usize,
    cpu_nanos: f64,
}

#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    /// Without those of the group apart.
    deleted: usize,
    deleted_apart: usize,
    /// Receipts of the group apart that were received.
    receipts: HashSet<String>,
    start: Option<Mark>,
    stop: Option<Mark>,
    /// Requests until everything was deleted.
    in_all: Option<u64>,
}

impl Counts {
    fn mark(&self) -> Mark {
        let &Self { deleted, deleted_apart, .. } = self;
        Mark { at: Instant::now(), deleted, deleted_apart, cpu_nanos: cpu_nanos_with_ended() }
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Messages deleted per second while the clock ran.
    pub(crate) rate: f64,
    /// Messages of the group apart that were deleted while it ran.
    pub(crate) apart: usize,
    /// Nanoseconds of CPU time of this process for each of them.
    pub(crate) cpu_nanos: f64,
    /// All requests of the run, until everything was deleted, for each of its messages.
    pub(crate) requests: f64,
}

/// Counts requests, the SDK's own retries included, and messages whose deletion SQS has acknowledged; those of one group
/// are told apart.
///
/// The first fifth is the warm-up. The clock stops before the last tenth, where who has little left to receive waits for
/// other things than with a backlog.
#[derive(Debug)]
pub(crate) struct Tally {
    messages: usize,
    apart: Option<&'static str>,
    counts: Mutex<Counts>,
    done: watch::Sender<bool>,
}

impl Tally {
    /// For a run in which so many messages are to be deleted, without those of the group apart.
    pub(crate) fn new(messages: usize, apart: Option<&'static str>) -> Arc<Self> {
        let (counts, done) = (Mutex::default(), watch::Sender::new(false));
        Arc::new(Self { messages, apart, counts, done })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every message is deleted.
    pub(crate) async fn done(&self) {
        // The sender lives as long as the tally does, so that there is no error.
        drop(self.done.subscribe().wait_for(|done| *done).await);
    }

    /// Messages of the group apart that were deleted.
    pub(crate) fn deleted_apart(&self) -> usize {
        self.counts().deleted_apart
    }

    pub(crate) fn measured(&self) -> anyhow::Result<Measured> {
        let counts = self.counts();
        let (start, stop) = counts.start.zip(counts.stop).context("too few messages were deleted")?;
        let messages = (stop.deleted - start.deleted) as f64;
        let requests = counts.in_all.context("not every message was deleted")?;
        Ok(Measured {
            rate: messages / (stop.at - start.at).as_secs_f64(),
            apart: stop.deleted_apart - start.deleted_apart,
            cpu_nanos: (stop.cpu_nanos - start.cpu_nanos) / messages,
            requests: requests as f64 / self.messages as f64,
        })
    }

    fn deleted(&self, others: usize, apart: usize) {
        let mut counts = self.counts();
        counts.deleted += others;
        counts.deleted_apart += apart;
        if counts.start.is_none() && counts.deleted >= self.messages / 5 {
            counts.start = Some(counts.mark());
        }
        if counts.stop.is_none() && counts.deleted >= self.messages - self.messages / 10 {
            counts.stop = Some(counts.mark());
        }
        if counts.deleted >= self.messages {
            counts.in_all = counts.in_all.or(Some(counts.requests));
            self.done.send_replace(true);
        }
    }
}

/// Which entries of a delete are of the group apart, by their ids.
#[derive(Debug)]
struct OfApart(HashSet<String>);

impl Storable for OfApart {
    type Storer = StoreReplace<Self>;
}

/// The tally as the SDK's client sees it.
#[derive(Debug)]
pub(crate) struct Counting(pub(crate) Arc<Tally>);

impl Intercept for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(asked) = context.input().downcast_ref::<DeleteMessageBatchInput>() else { return Ok(()) };
        let mut counts = self.0.counts();
        if !counts.receipts.is_empty() {
            let apart = asked.entries().iter().filter(|entry| counts.receipts.remove(entry.receipt_handle()));
            let ids = apart.map(|entry| entry.id().to_owned()).collect();
            config.interceptor_state().store_put(OfApart(ids));
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.counts().requests += 1;
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(output) = context.output_or_error() else { return Ok(()) };
        if let Some(apart) = self.0.apart
            && let Some(received) = output.downcast_ref::<ReceiveMessageOutput>()
        {
            let is_apart = |message: &&Message| attribute(message, &System::MessageGroupId) == apart;
            let of_apart = received.messages().iter().filter(is_apart);
            let receipts = of_apart.filter_map(|message| message.receipt_handle().map(str::to_owned));
            self.0.counts().receipts.extend(receipts);
        }
        if let Some(deleted) = output.downcast_ref::<DeleteMessageBatchOutput>() {
            let ids = config.load::<OfApart>();
            let is_apart = |id: &str| ids.is_some_and(|OfApart(ids)| ids.contains(id));
            let apart = deleted.successful().iter().filter(|entry| is_apart(entry.id())).count();
            self.0.deleted(deleted.successful().len() - apart, apart);
        }
        Ok(())
    }
}
