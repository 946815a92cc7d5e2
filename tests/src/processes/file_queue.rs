//! A queue in a file, of which whoever asks gets events: a shared stream. An entity's events are given out in order, and
//! to one process at a time.

use std::{collections::BTreeMap, time::Duration};

use ordered_consumer::{Delivery, Event, Index, Lease, StreamName};
use serde::{Deserialize, Serialize};

use super::{
    file_lock,
    group_file::Files,
    recording::{Line, Recording, now_ms},
};

/// How long what was received is given to nobody else.
pub const VISIBILITY: Duration = Duration::from_millis(1_500);
/// How much earlier a delivery's lease ends.
const MARGIN: Duration = Duration::from_millis(300);
/// How many events one receive gives.
const RECEIVE: usize = 10;

/// The queue's state, in `queue.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// What is not deleted, by index.
    pub events: BTreeMap<u64, Queued>,
    /// Counts receipts.
    pub receipts: u64,
}

/// An event in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Its entity.
    pub entity: String,
    /// Its payload.
    pub payload: String,
    /// Who has it, under which receipt, and until when, in milliseconds since 1970.
    pub given: Option<(u32, u64, u64)>,
    /// How often it was received.
    pub receives: u32,
}

/// The queue's stream.
///
/// # Panics
/// Never: it is a name.
#[must_use]
#[expect(clippy::expect_used, reason = "it is a name")]
pub fn stream() -> StreamName {
    StreamName::new("queue").expect("it is a name")
}

/// Receives what may be received: at most ten events, those of one entity under one lease.
///
/// # Errors
/// When a file cannot be read or written.
pub fn receive(files: &Files, process: u32) -> std::io::Result<Vec<Delivery>> {
    let recording = Recording::open(&files.recording())?;
    let lease = Lease::new(VISIBILITY - MARGIN);
    file_lock::change(&files.queue(), |queue: &mut Queue| {
        let now = now_ms();
        let mut away = std::collections::BTreeSet::new();
        for (index, event) in &mut queue.events {
            let Some((had, _, until)) = event.given else { continue };
            if until <= now {
                // Written before anybody can act on it.
                let (stream, index) = (stream().to_string(), Index::from(*index));
                recording.append(&Line::TimeRanOut { process: had, stream, index })?;
                event.given = None;
            } else {
                away.insert(event.entity.clone());
            }
        }
        let until = now + u64::try_from(VISIBILITY.as_millis()).unwrap_or(u64::MAX);
        let mut received = Vec::new();
        for (index, event) in &mut queue.events {
            if away.contains(&event.entity) || received.len() == RECEIVE {
                continue;
            }
            queue.receipts += 1;
            event.given = Some((process, queue.receipts, until));
            let built = Event::builder(stream(), Index::from(*index), event.entity.clone());
            let built = built.payload(event.payload.clone()).redelivered(event.receives > 0).build();
            event.receives += 1;
            received.push(Delivery { event: built, receipt: queue.receipts, lease: Some(lease.clone()) });
        }
        Ok(received)
    })?
}

/// Deletes an event, if it is still given under this receipt; whether it was.
///
/// # Errors
/// When a file cannot be read or written.
pub fn delete(files: &Files, delivery: &Delivery) -> std::io::Result<bool> {
    let index = u64::try_from(delivery.event.index().get()).unwrap_or(u64::MAX);
    file_lock::change(&files.queue(), |queue: &mut Queue| {
        let given = queue.events.get(&index).and_then(|event| event.given);
        let is_ours =
            given.is_some_and(|(_, receipt, until)| receipt == delivery.receipt && until > now_ms());
        if is_ours {
            queue.events.remove(&index);
        }
        is_ours
    })
}

/// Gives events back that were not done with.
///
/// # Errors
/// When a file cannot be read or written.
pub fn give_back(files: &Files, receipts: &[u64]) -> std::io::Result<()> {
    file_lock::change(&files.queue(), |queue: &mut Queue| {
        for event in queue.events.values_mut() {
            if event.given.is_some_and(|(_, receipt, _)| receipts.contains(&receipt)) {
                event.given = None;
            }
        }
    })
}
