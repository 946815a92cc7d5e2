//! A queue with a retry queue, for the conformance suite.

use std::{sync::atomic::Ordering, time::Duration};

use async_trait::async_trait;
use ordered_consumer::{
    Assignment, Confirming, EventPublisher, EventSource, Index, Settlement, Sharing, SourceError,
    SourceMessage, StreamName, testing::source::SourceFixture,
};
use ordered_consumer_sqs::{SqsPublisher, SqsSource};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::endpoint::{Emulator, Endpoint};

/// So long that a slow machine has heartbeats go out and answers come in time. Tests that wait for it to run out wait beside each
/// other, and cost nothing meanwhile.
const VISIBILITY: Duration = Duration::from_secs(30);
/// What must come comes within milliseconds, if the machine has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(28);
/// Several times what a receive waits, which ElasticMQ does not end when a group becomes free.
const QUIET: Duration = Duration::from_secs(6);

/// Where copies go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    OwnQueue,
    SameQueue,
}

struct SqsFixture {
    _turn: Option<SemaphorePermit<'static>>,
    endpoint: Endpoint,
    queue: String,
    retry_queue: Option<String>,
    publisher: SqsPublisher,
}

/// As many tests use moto at once: it is one process of Python, which answers some hundred requests a second.
static MOTO: Semaphore = Semaphore::const_new(14);

/// Made anew for each rule.
pub(crate) async fn fixture(emulator: Emulator, retry: Retry) -> Box<dyn SourceFixture> {
    let turn = match emulator {
        Emulator::Moto => Some(MOTO.acquire().await.expect("it is never closed")),
        Emulator::Main => None,
    };
    let endpoint = Endpoint::new(emulator).await;
    let queue = endpoint.queue("main", true, VISIBILITY, &[]).await;
    let retry_queue = match retry {
        Retry::OwnQueue => Some(endpoint.queue("retry", true, VISIBILITY, &[]).await),
        Retry::SameQueue => None,
    };
    let to = retry_queue.as_ref().unwrap_or(&queue);
    let publisher = SqsPublisher::open(endpoint.client.clone(), to).await.expect("it is a FIFO queue");
    Box::new(SqsFixture { _turn: turn, endpoint, queue, retry_queue, publisher })
}

#[async_trait]
impl SourceFixture for SqsFixture {
    fn sharing(&self) -> Sharing {
        Sharing::Shared
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn quiet(&self) -> Duration {
        QUIET
    }

    async fn publish(&mut self, entity: &str, payload: &str) -> (StreamName, Index) {
        let number = self.endpoint.send(&self.queue, entity, payload).await;
        let name = self.queue.rsplit('/').next().expect("a URL has a last part");
        (StreamName::new(name).expect("a queue's name is a name"), Index::new(number))
    }

    async fn open(&mut self) -> Box<dyn EventSource> {
        let builder = SqsSource::builder(self.endpoint.client.clone(), &self.queue)
            .receivers(2)
            .wait(Duration::from_secs(1))
            .lease_margin(Duration::from_secs(1));
        let builder = match &self.retry_queue {
            Some(url) => builder.retry_queue(url),
            None => builder,
        };
        let source = builder.open().await.expect("it is a FIFO queue");
        if self.retry_queue.is_some() { Box::new(source) } else { Box::new(SettlesEvents(source)) }
    }

    async fn wait_for_redelivery(&mut self) {
        // Nothing shows that a visibility has run out but its time.
        tokio::time::sleep(VISIBILITY + Duration::from_millis(1_500)).await;
    }

    async fn refuse_next_delete(&mut self) {
        self.endpoint.faults.refuse_deletes.fetch_add(1, Ordering::SeqCst);
    }

    fn publisher(&mut self) -> Box<dyn EventPublisher> {
        Box::new(self.publisher.clone())
    }

    async fn refuse_copies_of(&mut self, index: Index) {
        self.endpoint.faults.refuse_copies.lock().unwrap().insert(index.to_string());
    }

    async fn take_publisher_away(&mut self, away: bool) {
        self.endpoint.faults.away.store(away, Ordering::SeqCst);
    }
}

/// Settles events at once, as an engine would in time: on the same queue, copies of a group come only after its events, and
/// the rules of copies leave those alone.
struct SettlesEvents(SqsSource);

#[async_trait]
impl EventSource for SettlesEvents {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn sharing(&self) -> Sharing {
        self.0.sharing()
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        loop {
            let said = self.0.next().await?;
            let SourceMessage::Events { assignment, deliveries } = &said else { return Ok(said) };
            let events = deliveries.iter().map(|one| (one.event.index(), one.receipt)).collect();
            self.0.settle(Settlement {
                assignment: assignment.clone(),
                events,
                held: Vec::new(),
                watermark: None,
            });
        }
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        self.0.confirm(assignment)
    }

    fn pause(&mut self, assignment: &Assignment) {
        self.0.pause(assignment);
    }

    fn resume(&mut self, assignment: &Assignment) {
        self.0.resume(assignment);
    }

    fn settle(&mut self, settlement: Settlement) {
        self.0.settle(settlement);
    }

    fn pause_copies(&mut self) {
        self.0.pause_copies();
    }

    fn resume_copies(&mut self) {
        self.0.resume_copies();
    }

    fn settle_copies(&mut self, receipts: &[u64]) {
        self.0.settle_copies(receipts);
    }

    fn release(&mut self, assignment: &Assignment) {
        self.0.release(assignment);
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.0.close().await
    }
}
