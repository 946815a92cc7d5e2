//! Tells SQS what is done with, and what is not: deletes, and visibility 0.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry as Visible, DeleteMessageBatchRequestEntry as Deletion,
};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use ordered_consumer::error_text;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    client_error::{Doing, EntryFault, entry_fault, explain},
    flights::{Delete, Flights, Release},
    shared::Shared,
};

/// As many as SQS takes in one request.
pub(crate) const BATCH_MAX: usize = 10;
/// Requests at once.
const REQUESTS_MAX: usize = 16;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The place in its batch that an entry's id is.
pub(crate) fn place_of(id: &str) -> Option<usize> {
    id.parse().ok()
}

type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs until the source is gone.
pub(crate) async fn tell(shared: Arc<Shared>) {
    let mut requests: FuturesUnordered<Request> = FuturesUnordered::new();
    loop {
        let told = shared.told.notified();
        let look_at = start(&shared, &mut requests);
        tokio::select! {
            () = told => {}
            Some(()) = requests.next(), if !requests.is_empty() => {}
            () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {}
        }
        while let Some(Some(())) = requests.next().now_or_never() {}
    }
}

/// Begins what can be begun; says when to look again for a batch that is not full yet.
fn start(shared: &Arc<Shared>, requests: &mut FuturesUnordered<Request>) -> Option<Instant> {
    let mut flights = shared.flights();
    let mut look_at = flights.end_giving_way(shared.is_closing());
    shared.tell_deleting(&flights);
    while let Some(release) = flights.take_release() {
        // Not counted: giving back must not wait for deletes.
        let shared = Arc::clone(shared);
        requests.push(Box::pin(async move {
            give_back(&shared, release).await;
            shared.change(Flights::released);
        }));
    }
    for queue in 0..shared.queues.len() {
        while requests.len() < REQUESTS_MAX {
            let (ready, Some(since)) = flights.ready(queue) else { break };
            let due = since + shared.delete_linger;
            // A batch that may fill up costs one request instead of several; while nothing more is to come, waiting only keeps
            // groups from others.
            let more_comes = !requests.is_empty() || shared.turns.bring_more(shared.delete_linger);
            let may_fill = more_comes && due > Instant::now();
            if ready < BATCH_MAX && may_fill && !shared.is_closing() {
                look_at = Some(look_at.map_or(due, |at| at.min(due)));
                break;
            }
            let deletes = flights.take_deletes(queue, BATCH_MAX);
            requests.push(Box::pin(delete(Arc::clone(shared), queue, deletes)));
        }
    }
    look_at
}

/// One batch, tried until it is answered or its messages have come to somebody else anyway.
async fn delete(shared: Arc<Shared>, queue: usize, deletes: Vec<Delete>) {
    let (begin, mut backoff) = (Instant::now(), BACKOFF_MIN);
    loop {
        let entries = deletes.iter().enumerate().filter_map(|(place, delete)| {
            Deletion::builder().id(place.to_string()).receipt_handle(&delete.handle).build().ok()
        });
        let request = shared.client.delete_message_batch().queue_url(shared.url(queue));
        let error = match request.set_entries(Some(entries.collect())).send().await {
            Ok(answer) => {
                let failed = answer
                    .failed
                    .iter()
                    .filter_map(|failed| Some((place_of(&failed.id)?, entry_fault(failed))));
                deleted(&shared, queue, &deletes, &failed.collect::<Vec<_>>());
                return;
            }
            Err(error) => explain(Doing { what: "deleting from", queue: shared.name_of(queue) }, &error),
        };
        let over = begin.elapsed() >= shared.visibility_of(queue);
        if !error.is_transient() || over {
            let index = first_of(&deletes);
            tracing::warn!(stream = %shared.stream, index, messages = deletes.len(), error = error_text(&error), "what is done with could not be deleted; it comes again, and is known then");
            shared.change(|flights| deletes.iter().for_each(|delete| flights.refused(delete.flight, true)));
            return;
        }
        if shared.may_complain() {
            tracing::warn!(stream = %shared.stream, error = error_text(&error), "what is done with is not deleted yet; it is tried again");
        }
        sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// The lowest index of these, for a log.
fn first_of<'d>(deletes: impl IntoIterator<Item = &'d Delete>) -> Option<String> {
    deletes.into_iter().filter_map(|delete| delete.index).min().map(|index| index.to_string())
}

fn deleted(shared: &Shared, queue: usize, deletes: &[Delete], failed: &[(usize, EntryFault)]) {
    let (mut lost, mut refused) = (Vec::new(), Vec::new());
    shared.change(|flights| {
        for (place, delete) in deletes.iter().enumerate() {
            match failed.iter().find(|(failed, _)| *failed == place).map(|(_, fault)| *fault) {
                None => flights.deleted(delete.flight),
                Some(EntryFault::Lost) => {
                    lost.push(delete);
                    flights.refused(delete.flight, true);
                }
                Some(EntryFault::Refused | EntryFault::Transient) => {
                    refused.push(delete);
                    flights.refused(delete.flight, false);
                }
            }
        }
    });
    let name = shared.name_of(queue);
    if !lost.is_empty() {
        let (messages, index) = (lost.len(), first_of(lost));
        tracing::warn!(stream = %shared.stream, queue = name, index, messages, "messages that are done with were visible again before they were deleted; they come again, and are known then");
    }
    if !refused.is_empty() {
        let (messages, index) = (refused.len(), first_of(refused));
        tracing::warn!(stream = %shared.stream, queue = name, index, messages, "SQS has not deleted messages that are done with; the rest of their groups' receive is given back");
    }
}

/// Makes messages visible again, the first of them last: a broker that looks at a group's first message only would else
/// give it out alone, and the others would wait for it. None can overtake it. What cannot be made visible becomes so when its time runs out.
async fn give_back(shared: &Shared, release: Release) {
    let Release { queue, mut handles } = release;
    let (begin, mut backoff) = (Instant::now(), BACKOFF_MIN);
    while !handles.is_empty() && begin.elapsed() < shared.visibility_of(queue) {
        let entries = handles.iter().enumerate().rev().filter_map(|(place, handle)| {
            let entry = Visible::builder().id(place.to_string()).receipt_handle(handle);
            entry.visibility_timeout(0).build().ok()
        });
        let request = shared.client.change_message_visibility_batch().queue_url(shared.url(queue));
        match request.set_entries(Some(entries.collect())).send().await {
            Ok(answer) => {
                let again = answer.failed.iter().filter_map(|failed| {
                    let transient = entry_fault(failed) == EntryFault::Transient;
                    place_of(&failed.id).filter(|_| transient)
                });
                let again: Vec<usize> = again.collect();
                let mut place = 0..;
                handles.retain(|_| place.next().is_some_and(|place| again.contains(&place)));
            }
            Err(error) => {
                let error =
                    explain(Doing { what: "giving messages back to", queue: shared.name_of(queue) }, &error);
                if !error.is_transient() || shared.may_complain() {
                    tracing::warn!(stream = %shared.stream, error = error_text(&error), "messages could not be given back; they come again when their time runs out");
                }
                if !error.is_transient() {
                    return;
                }
            }
        }
        if !handles.is_empty() {
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
}
