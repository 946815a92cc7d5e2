//! The consuming half.

use std::{
    fmt,
    future::ready,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use ordered_consumer::{
    AssignedStream, Assignment, Confirmation, Confirming, Delivery, EventSource, Settlement, Sharing,
    SourceError, SourceMessage,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{interval, timeout},
};

use crate::{
    SqsSourceBuilder,
    extend::beat,
    flight::State,
    flights::Flights,
    handover::Handover,
    receive::{Outlets, receive},
    shared::{MAIN, RECEIVES_FOR, Shared},
    tell::tell,
};

/// Where copies are taken in: with the events, or from a queue of their own.
const RETRY: usize = 1;
/// What closing may take, beyond the wait of a receive.
const CLOSE_WITHIN: Duration = Duration::from_secs(20);

/// A consumer of an SQS FIFO queue: one shared stream, in which each message group is an entity.
///
/// * **Receiving**: several receivers ask at once, by long polling, for ten messages each. A group's messages of one
///   receive share one lease: the visibility timeout, counted from when the request was sent, less a margin.
/// * **Heartbeats**: what the engine has is kept invisible, a third of the visibility timeout before it would run out at
///   the latest, as long as the source is asked and for 15 s after that, in which handlers that run at shutdown end; for twelve
///   hours at most, which is SQS's own limit. A process that stands still extends nothing.
/// * **Deletes** go in batches of ten, one message of a group at a time, each after the last was acknowledged. A refused
///   one gives the rest of the group's receive back. A receipt that is lost because its visibility has run out is told
///   apart, and reported; what was done with is known when it comes again.
/// * **Held** messages are deleted in a hundredth of the time, and [thirty seconds](SqsSourceBuilder::give_way_max) later at
///   most, while full receives bring messages of other groups that can be handled: a group that fails, with a long backlog, so
///   gives way to those that do not.
/// * **Abandoned** events are made visible again at once, in order, with the rest of their group's receive, once nothing
///   of it runs any more.
/// * **Pausing** receives no more; what has come meanwhile waits, and goes back to its queue when its time runs out.
/// * **Closing** deletes what is done with, and gives back at once what is not. It waits for receives that are under way, for
///   [as long as they wait](SqsSourceBuilder::wait), because what SQS hands to somebody who has gone is nobody's until its
///   visibility runs out.
///
/// What is buffered is bounded: a receive for each receiver, beyond what the engine takes.
///
/// # Errors while it runs
/// A network that is away, throttling, expired credentials: [`SourceError::Unavailable`], every ten seconds at most, and
/// SQS is asked ever less often, every ten seconds at last. A queue that is gone, missing rights, an unknown key:
/// [`SourceError::Fatal`].
///
/// Dropped without [`close`](EventSource::close), it has crashed: what it has received comes again once its visibility has
/// run out.
pub struct SqsSource {
    shared: Arc<Shared>,
    name: String,
    events: mpsc::Receiver<Handover>,
    copies: mpsc::Receiver<Handover>,
    assignment_was_told: bool,
    events_paused: bool,
    copies_paused: bool,
    tasks: JoinSet<()>,
}

impl SqsSource {
    /// Begins a source of this queue. Region, endpoint and credentials are the client's own, so that LocalStack, ElasticMQ
    /// and AWS are reached by ordinary AWS configuration.
    pub fn builder(client: Client, queue_url: impl Into<String>) -> SqsSourceBuilder {
        SqsSourceBuilder::new(client, queue_url.into())
    }

    pub(crate) fn start(shared: Shared, receivers: [usize; 2]) -> Self {
        let names: Vec<&str> = shared.queues.iter().map(|queue| queue.name.as_str()).collect();
        let name = names.join(" with retry queue ");
        let shared = Arc::new(shared);
        let room = receivers.iter().sum::<usize>().max(1);
        let (to_events, events) = mpsc::channel(room);
        let (to_copies, copies) = mpsc::channel(room);
        let mut tasks = JoinSet::new();
        tasks.spawn(beat(Arc::clone(&shared)));
        tasks.spawn(tell(Arc::clone(&shared)));
        for (queue, count) in receivers.into_iter().enumerate().take(shared.queues.len()) {
            for _ in 0..count.max(1) {
                let outlets = Outlets { events: to_events.clone(), copies: to_copies.clone() };
                tasks.spawn(receive(Arc::clone(&shared), queue, outlets));
            }
        }
        let (assignment_was_told, events_paused, copies_paused) = (false, false, false);
        Self { shared, name, events, copies, assignment_was_told, events_paused, copies_paused, tasks }
    }

    fn pause_events(&mut self, paused: bool) {
        self.events_paused = paused;
        self.shared.paused.send_modify(|queues| queues[MAIN] = paused);
    }

    fn pause_retries(&mut self, paused: bool) {
        self.copies_paused = paused;
        self.shared.paused.send_modify(|queues| queues[RETRY] = paused);
    }

    /// What was handed over, without what has waited for too long.
    fn said(&self, handover: Handover) -> Result<Option<SourceMessage>, SourceError> {
        match handover {
            Handover::Events(events) => {
                let is_over =
                    |event: &Delivery| event.lease.as_ref().is_some_and(|lease| lease.remaining().is_zero());
                let (late, deliveries): (Vec<_>, Vec<_>) = events.into_iter().partition(is_over);
                self.shared.mark_all(late.iter().map(|event| event.receipt), State::Abandoned);
                self.hand_over(deliveries.iter().map(|event| event.receipt));
                let assignment = self.shared.assignment.clone();
                let said = SourceMessage::Events { assignment, deliveries };
                Ok(Some(said).filter(
                    |said| !matches!(said, SourceMessage::Events { deliveries, .. } if deliveries.is_empty()),
                ))
            }
            Handover::Copies(copies) => {
                self.hand_over(copies.iter().map(|copy| copy.receipt));
                Ok(Some(SourceMessage::Copies(copies)))
            }
            Handover::Failed(error) => Err(error),
        }
    }

    fn hand_over(&self, receipts: impl Iterator<Item = u64>) {
        self.shared.change(|flights| receipts.for_each(|receipt| flights.handed_over(receipt)));
    }
}

#[async_trait]
impl EventSource for SqsSource {
    fn describe(&self) -> String {
        format!("SQS queue {}", self.name)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Shared
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        self.shared.was_asked();
        if !self.assignment_was_told {
            self.assignment_was_told = true;
            let assignment = self.shared.assignment.clone();
            return Ok(SourceMessage::Assigned(vec![AssignedStream { assignment, lease: None }]));
        }
        let mut asking = interval(RECEIVES_FOR / 4);
        loop {
            // Whatever is taken from a channel is said in the same poll: a dropped call has taken nothing.
            let handover = tokio::select! {
                Some(handover) = self.events.recv(), if !self.events_paused => handover,
                Some(handover) = self.copies.recv(), if !self.copies_paused => handover,
                _ = asking.tick() => {
                    self.shared.was_asked();
                    continue;
                }
            };
            if let Some(said) = self.said(handover)? {
                return Ok(said);
            }
        }
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        let queue = self.shared.queues.first().filter(|_| *assignment == self.shared.assignment);
        let confirmed = queue
            .map(|queue| Confirmation { identity: Some(queue.identity.clone()), ..Confirmation::default() });
        Box::pin(ready(Ok(confirmed)))
    }

    fn pause(&mut self, assignment: &Assignment) {
        if *assignment == self.shared.assignment {
            self.pause_events(true);
        }
    }

    fn resume(&mut self, assignment: &Assignment) {
        if *assignment == self.shared.assignment {
            self.pause_events(false);
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        if settlement.assignment == self.shared.assignment {
            if !settlement.held.is_empty() {
                // First, because what is marked already stays as it is.
                self.shared.mark_all(settlement.held.iter().copied(), State::Held);
            }
            self.shared.mark_all(settlement.events.iter().map(|(_, receipt)| *receipt), State::Done);
        }
    }

    fn abandon(&mut self, assignment: &Assignment, receipts: &[u64]) {
        if *assignment == self.shared.assignment {
            self.shared.mark_all(receipts.iter().copied(), State::Abandoned);
        }
    }

    fn pause_copies(&mut self) {
        self.pause_retries(true);
    }

    fn resume_copies(&mut self) {
        self.pause_retries(false);
    }

    fn settle_copies(&mut self, receipts: &[u64]) {
        self.shared.mark_all(receipts.iter().copied(), State::Done);
    }

    fn release(&mut self, assignment: &Assignment) {
        // A queue is never revoked: the consumer stops, and nothing more of it is wanted.
        self.pause(assignment);
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.pause_events(true);
        self.pause_retries(true);
        self.shared.closing.store(true, Ordering::SeqCst);
        let told = timeout(self.shared.wait + CLOSE_WITHIN, async {
            loop {
                // What a receive that is under way brings would else be nobody's until its visibility runs out.
                let receiving = self.shared.turns.is_receiving();
                self.shared.change(Flights::abandon_all);
                if !receiving && self.shared.flights().is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let told = told.await;
        self.tasks.shutdown().await;
        told.map_err(|late| SourceError::Unavailable(late.into()))
    }
}

impl fmt::Debug for SqsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
