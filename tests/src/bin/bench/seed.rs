//! Fills failure logs with gates and held events, by the same calls that an engine makes.

use std::time::Duration;

use ordered_consumer::{
    BATCH_REQUESTS_MAX, ConsumerName, FailureLog, ParkCause, Request,
    gate::{Arrival, Failure, Guard, Input, Next, Settings},
};

use crate::rig;

/// What an engine with default limits would give.
pub(crate) fn settings() -> Settings {
    Settings {
        release_window: 500,
        redelivery_timeout: Duration::from_secs(30),
        claim_timeout: Duration::from_secs(30),
        attempts_max: u32::MAX,
        held_events_max: 1_000_000,
        held_bytes_max: 1 << 30,
        mirror_parked: false,
    }
}

/// The head of an entity failed.
pub(crate) fn failed(entity: String, index: u128, next: Next) -> anyhow::Result<Request> {
    let event = rig::event(entity.clone(), index)?;
    let failure = Failure::new("bench", "the handler failed");
    let input = Input::Fail { event, attempts: 1, failure, next };
    Ok(Request { key: rig::key(entity)?, guard: Guard::Unguarded, input })
}

/// These events of an entity come from the main stream.
pub(crate) fn arrived(entity: String, indexes: std::ops::Range<u128>) -> anyhow::Result<Request> {
    let arrival = |index| Ok(Arrival { event: rig::event(entity.clone(), index)?, suspect: false });
    let events = indexes.map(arrival).collect::<anyhow::Result<_>>()?;
    Ok(Request { key: rig::key(entity)?, guard: Guard::Unguarded, input: Input::Arrive { events } })
}

/// So many gated entities, parked, at the indexes from 1 on.
pub(crate) async fn parked(
    log: &dyn FailureLog,
    consumer: &ConsumerName,
    entities: usize,
) -> anyhow::Result<()> {
    let cause = Next::Park(ParkCause::Permanent);
    let requests =
        (0..entities).map(|number| failed(rig::entity("gated", number), 1 + number as u128, cause));
    apply_all(log, consumer, requests).await
}

/// Applies requests in the largest batches.
pub(crate) async fn apply_all(
    log: &dyn FailureLog,
    consumer: &ConsumerName,
    requests: impl Iterator<Item = anyhow::Result<Request>> + Send,
) -> anyhow::Result<()> {
    let mut requests = requests;
    loop {
        let batch = requests.by_ref().take(BATCH_REQUESTS_MAX).collect::<anyhow::Result<Vec<_>>>()?;
        if batch.is_empty() {
            return Ok(());
        }
        log.apply(consumer, &settings(), &batch).await?;
    }
}
