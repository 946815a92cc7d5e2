//! Heartbeats: what the engine has is kept invisible, as long as the source is asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry as Entry;
use futures::{StreamExt, stream};
use ordered_consumer::error_text;
use tokio::time::{Instant, interval_at};

use crate::{
    client_error::{Doing, EntryFault, entry_fault, explain},
    flights::Extend,
    shared::Shared,
    tell::{BATCH_MAX, place_of},
};

/// So long after it was asked a source goes on extending: an engine asks for nothing while it lets running handlers end, at
/// shutdown for ten seconds unless that is changed, and for some seconds after an error.
const KEEPS_FOR: Duration = Duration::from_secs(15);
/// Requests at once.
const REQUESTS_MAX: usize = 8;

/// Extends what has not been extended for a third of its visibility, each third of it.
pub(crate) async fn beat(shared: Arc<Shared>) {
    let every = shared.beat();
    let mut beats = interval_at(Instant::now() + every, every);
    loop {
        beats.tick().await;
        if !shared.was_asked_within(every.max(KEEPS_FOR)) && !shared.is_closing() {
            continue;
        }
        let extends = shared.flights().to_extend(every / 2, &shared.visibility);
        extend(&shared, extends).await;
    }
}

/// Extends flights. Those of which every message was extended last so much longer; those with a lost receipt are over.
pub(crate) async fn extend(shared: &Shared, extends: Vec<Extend>) {
    let sent = Instant::now();
    let mut flights: BTreeMap<u64, Extend> = BTreeMap::new();
    let mut queues: BTreeMap<usize, Vec<Extend>> = BTreeMap::new();
    for extend in extends {
        flights.entry(extend.flight).or_insert_with(|| extend.clone());
        queues.entry(extend.queue).or_default().push(extend);
    }
    let batches = queues.into_values().flat_map(|extends| {
        let batches: Vec<Vec<Extend>> = extends.chunks(BATCH_MAX).map(<[Extend]>::to_vec).collect();
        batches
    });
    let mut failed =
        stream::iter(batches.map(|batch| extend_batch(shared, batch))).buffer_unordered(REQUESTS_MAX);
    while let Some(faults) = failed.next().await {
        for (extend, fault) in faults {
            let lost = fault == EntryFault::Lost
                && shared.change(|flights| flights.receipt_lost(extend.flight, extend.receipt));
            if lost {
                let index = extend.index.map(|index| index.to_string());
                tracing::warn!(stream = %shared.stream, queue = shared.name_of(extend.queue), index, "a message's visibility has run out before it was done with; it comes again, and what runs of its group is broken off");
            }
            // A receipt that was deleted meanwhile leaves the others as they are.
            if lost || fault != EntryFault::Lost {
                flights.remove(&extend.flight);
            }
        }
    }
    shared.change(|all| {
        for (id, Extend { lasts, .. }) in flights {
            all.extended(id, sent, lasts.saturating_sub(shared.margin));
        }
    });
}

/// One request; gives what was not extended.
async fn extend_batch(shared: &Shared, batch: Vec<Extend>) -> Vec<(Extend, EntryFault)> {
    let Some(queue) = batch.first().map(|extend| extend.queue) else { return Vec::new() };
    let entries = batch.iter().enumerate().filter_map(|(place, extend)| {
        let seconds = i32::try_from(extend.lasts.as_secs()).unwrap_or(i32::MAX);
        let entry = Entry::builder().id(place.to_string()).receipt_handle(&extend.handle);
        entry.visibility_timeout(seconds).build().ok()
    });
    let request = shared.client.change_message_visibility_batch().queue_url(shared.url(queue));
    match request.set_entries(Some(entries.collect())).send().await {
        Ok(answer) => {
            let faults = answer.failed.iter().filter_map(|failed| {
                let extend = batch.get(place_of(&failed.id)?)?.clone();
                Some((extend, entry_fault(failed)))
            });
            faults.collect()
        }
        Err(error) => {
            let doing = Doing { what: "keeping messages invisible in", queue: shared.name_of(queue) };
            let error = error_text(&explain(doing, &error));
            tracing::warn!(stream = %shared.stream, error, "messages could not be kept invisible; it is tried again while there is time");
            batch.into_iter().map(|extend| (extend, EntryFault::Transient)).collect()
        }
    }
}
