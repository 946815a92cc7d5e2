//! A receiver: takes up to ten messages at once, and hands over what they are.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use aws_sdk_sqs::types::{Message as Sent, MessageSystemAttributeName as System};
use ordered_consumer::{Delivery, Lease, ReturnedCopy, SourceError};
use tokio::{
    sync::mpsc::{self, Permit},
    time::{Instant, sleep, timeout},
};

use crate::{
    IncomingMessage, SqsError,
    client_error::{Doing, explain},
    copy_attribute,
    extend::extend,
    flight::{Message, State},
    handover::Handover,
    mapping::index_of,
    shared::{MAIN, RECEIVES_FOR, Shared, is_within},
};

/// As many as SQS gives at once.
const RECEIVE_MAX: i32 = 10;
/// Received and not deleted, beyond which nothing more is received; SQS itself sets a limit for each queue.
const MESSAGES_MAX: usize = 20_000;
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// What the way there and back may take beyond the wait, before the request is given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Where a receiver hands over what it has received: what is not taken there keeps it from receiving more.
#[derive(Clone)]
pub(crate) struct Outlets {
    pub(crate) events: mpsc::Sender<Handover>,
    pub(crate) copies: mpsc::Sender<Handover>,
}

/// Receives until the source is gone, or SQS refuses for good.
pub(crate) async fn receive(shared: Arc<Shared>, queue: usize, outlets: Outlets) {
    let mut backoff = BACKOFF_MIN;
    let (mut paused, mut asked_for) = (shared.paused.subscribe(), shared.asked.subscribe());
    let is_paused = |paused: &[bool; 2]| paused.get(queue).copied().unwrap_or_default();
    loop {
        // Room before messages: whatever is received can be handed over.
        let (Ok(events), Ok(copies)) = tokio::join!(outlets.events.reserve(), outlets.copies.reserve())
        else {
            return;
        };
        if paused.wait_for(|paused| !is_paused(paused)).await.is_err() {
            return;
        }
        // What nobody asks for would be nobody's until its visibility runs out.
        if asked_for.wait_for(|at| is_within(*at, RECEIVES_FOR)).await.is_err() {
            return;
        }
        // What is done with and cannot be deleted is kept here until it can: not for ever more of it.
        if shared.flights().messages() >= MESSAGES_MAX {
            sleep(BACKOFF_MIN).await;
            continue;
        }
        let receiving = shared.turns.take(queue).await;
        if shared.is_closing() {
            return;
        }
        // Either may have changed while others had their turn.
        if is_paused(&paused.borrow()) || !shared.was_asked_within(RECEIVES_FOR) {
            continue;
        }
        let asked = Instant::now();
        let answer = ask(&shared, queue).await;
        match answer {
            Ok(messages) => {
                backoff = BACKOFF_MIN;
                let received = take(&shared, queue, asked, messages);
                drop(receiving);
                received.hand_over(&shared, (events, copies)).await;
            }
            Err(error) if error.is_transient() => {
                drop(receiving);
                if shared.may_complain() {
                    let failed = Handover::Failed(SourceError::Unavailable(error.into()));
                    if queue == MAIN { events.send(failed) } else { copies.send(failed) }
                }
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            Err(error) => {
                drop(receiving);
                let why = format!("{error}; correct it and start again: nothing of the queue is lost");
                let failed = Handover::Failed(SourceError::Fatal { why, source: None });
                if queue == MAIN {
                    events.send(failed)
                } else {
                    copies.send(failed)
                }
                return pending().await;
            }
        }
    }
}

async fn ask(shared: &Shared, queue: usize) -> Result<Vec<Sent>, SqsError> {
    let doing = Doing { what: "receiving from", queue: shared.name_of(queue) };
    let seconds = |duration: Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
    let asked = shared
        .client
        .receive_message()
        .queue_url(shared.url(queue))
        .max_number_of_messages(RECEIVE_MAX)
        .wait_time_seconds(seconds(shared.wait))
        .visibility_timeout(seconds(shared.visibility_of(queue)))
        .message_system_attribute_names(System::All)
        .message_attribute_names("All")
        .send();
    match timeout(shared.wait + ANSWER_WITHIN, asked).await {
        Ok(answer) => Ok(answer.map_err(|error| explain(doing, &error))?.messages.unwrap_or_default()),
        Err(late) => Err(doing.unavailable(late)),
    }
}

/// What a receive has brought.
struct Received {
    asked: Instant,
    queue: usize,
    /// It brought as much as one receive can.
    full: bool,
    flights: Vec<u64>,
    events: Vec<Delivery>,
    copies: Vec<ReturnedCopy>,
}

/// Makes events and copies of messages, group by group: behind what is neither, nothing of its group is handed over.
fn take(shared: &Shared, queue: usize, asked: Instant, messages: Vec<Sent>) -> Received {
    let full = i32::try_from(messages.len()).is_ok_and(|count| count >= RECEIVE_MAX);
    if queue == MAIN && full {
        shared.turns.brought_plenty();
    }
    let (flights, events, copies) = (Vec::new(), Vec::new(), Vec::new());
    let mut received = Received { asked, queue, full, flights, events, copies };
    let mut groups: Vec<Vec<(String, IncomingMessage)>> = Vec::new();
    let mut places: HashMap<Option<String>, usize> = HashMap::new();
    for message in messages {
        let (handle, message) = IncomingMessage::received(message);
        let place = *places.entry(message.group.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        if let Some(group) = groups.get_mut(place) {
            group.push((handle, message));
        }
    }
    for mut group in groups {
        group.sort_by_key(|(_, message)| index_of(message));
        received.take_group(shared, group);
    }
    received.events.sort_by_key(|delivery| delivery.event.index());
    received
}

/// What a message is.
enum Taken {
    Event(Box<ordered_consumer::Event>),
    Copy(copy_attribute::Copied),
}

impl Received {
    /// Events and copies of a group are flights of their own: a copy that runs for long keeps no event from being deleted,
    /// and neither the other way round.
    fn take_group(&mut self, shared: &Shared, group: Vec<(String, IncomingMessage)>) {
        let (mut events, mut event_messages) = (Vec::new(), Vec::new());
        let (mut copies, mut copy_messages) = (Vec::new(), Vec::new());
        let mut stopped = false;
        for (handle, message) in group {
            let taken = |state| Message { handle, index: index_of(&message), state };
            let what = if stopped { None } else { shared.what_is(self.queue, &message) };
            match what {
                Some(Taken::Event(event)) => {
                    event_messages.push(taken(State::Pending));
                    events.push(*event);
                }
                Some(Taken::Copy(copied)) => {
                    copy_messages.push(taken(State::Pending));
                    copies.push(copied);
                }
                None => {
                    stopped = true;
                    event_messages.push(taken(State::Unreadable));
                }
            }
        }
        let (lease, receipts) = self.fly(shared, event_messages);
        for (event, receipt) in events.into_iter().zip(receipts) {
            self.events.push(Delivery { event, receipt, lease: Some(lease.clone()) });
        }
        let (_, receipts) = self.fly(shared, copy_messages);
        for (copied, receipt) in copies.into_iter().zip(receipts) {
            let copy_attribute::Copied { stream, entity, index, attempts } = copied;
            self.copies.push(ReturnedCopy { stream, entity, index, attempts, receipt });
        }
    }

    /// One lease for all of it.
    fn fly(&mut self, shared: &Shared, messages: Vec<Message>) -> (Lease, Vec<u64>) {
        // Counted from when it was asked, which is before SQS counts: what is short is extended at once.
        let lasts = shared.visibility_of(self.queue).saturating_sub(shared.margin);
        let lease = Lease::new(lasts.saturating_sub(self.asked.elapsed()));
        if messages.is_empty() {
            return (lease, Vec::new());
        }
        let from = (self.queue, self.full && self.queue == MAIN);
        let (flight, receipts) =
            shared.change(|flights| flights.add(from, (lease.clone(), self.asked), messages));
        self.flights.push(flight);
        (lease, receipts)
    }

    /// Hands everything over; extends it first, if the wait has used up most of its time.
    async fn hand_over(
        self,
        shared: &Shared,
        (events, copies): (Permit<'_, Handover>, Permit<'_, Handover>),
    ) {
        let visibility = shared.visibility_of(self.queue);
        if !self.flights.is_empty() && self.asked.elapsed() > visibility / 3 {
            let extends = {
                let flights = shared.flights();
                let of = |id: &u64| flights.extends_of(*id, &shared.visibility);
                self.flights.iter().flat_map(of).collect()
            };
            extend(shared, extends).await;
        }
        if !self.events.is_empty() {
            events.send(Handover::Events(self.events));
        }
        if !self.copies.is_empty() {
            copies.send(Handover::Copies(self.copies));
        }
    }
}

impl Shared {
    fn what_is(&self, queue: usize, message: &IncomingMessage) -> Option<Taken> {
        // Of whichever queue: the main queue may have been its own retry queue once, and have copies still.
        let arns = self.queues.iter().map(|queue| queue.arn.as_str());
        if let Some(copied) = copy_attribute::copied(message, arns) {
            return Some(Taken::Copy(copied));
        }
        let (index, why) = if queue == MAIN {
            match self.mapping.event(&self.stream, message) {
                Ok(event) => return Some(Taken::Event(Box::new(event))),
                Err(unmapped) => (unmapped.index, unmapped.why),
            }
        } else if message.named(copy_attribute::NAME).is_some() {
            let why = "it has the attribute of a copy, and is none that the publisher has sent to this queue: it was forwarded, or sent to another queue";
            (index_of(message), why)
        } else {
            (index_of(message), "it is no copy that the publisher has sent")
        };
        tracing::error!(
            stream = %self.stream,
            queue = self.name_of(queue),
            index = index.map(|index| index.to_string()),
            why,
            "a message cannot be handed over; its group stops there until the mapping is corrected or the message is deleted, and nothing of it is lost"
        );
        None
    }
}
