//! Raising a stream's generation and loading its gates. `run` and `take_over` share it.

use bytes::Bytes;

use super::{core::Core, persist, stream_state::StreamState};
use crate::{
    Handler, Lease, Sharing, StreamName,
    gate::{self, StreamRecord, StreamRefusal, TakeOver},
};

/// Gates that are loaded at once.
const PAGE: u32 = 10_000;

/// What came of it.
pub(crate) enum TakenOver {
    /// The stream is this process's, or shared; so many events from here on are suspect.
    Ready { state: Box<StreamState>, suspects: u64 },
    /// Somebody raised the generation meanwhile: begin again.
    Raised,
    /// It must wait for an operator.
    Stopped(String),
}

/// Raises the generation from what was read, which the broker has confirmed since, then loads every gate.
pub(crate) async fn raise_and_load<H: Handler>(
    core: &Core<H>,
    name: &StreamName,
    slot: u64,
    asked: &TakeOver,
    lease: Option<Lease>,
) -> TakenOver {
    let (before, record) = match raise(core, name, asked).await {
        Ok(raised) => raised,
        Err(other) => return other,
    };
    let key = &core.fingerprints;
    let state = StreamState::new(
        name.clone(),
        slot,
        Sharing::Owned,
        record.generation,
        lease,
        (core.stream(name), key),
    );
    // Every gate, tombstones too: what is not in the cache is clear.
    let mut after = None;
    loop {
        let call = || core.log.gated_entities(&core.name, name, after.as_ref(), PAGE, false);
        match persist::persist(&core.name, &core.streams, "loading gates", call).await {
            Ok(entities) if entities.is_empty() => break,
            Ok(entities) => {
                entities.iter().for_each(|entity| state.cache.insert(state.entity(key, entity)));
                after = entities.last().cloned();
            }
            Err(error) => return TakenOver::Stopped(crate::error_text(&error)),
        }
    }
    let unclean = before.filter(|before| !before.clean);
    TakenOver::Ready { state: Box::new(state), suspects: unclean.map_or(0, |before| before.uncommitted_max) }
}

/// Makes sure that a shared stream is the one that was consumed before, by what was read before the broker confirmed. Where
/// that is known already nothing is raised: of many processes that begin at once, those that were not the first find what
/// the first has written down, and are done.
pub(crate) async fn recognise<H: Handler>(
    core: &Core<H>,
    name: &StreamName,
    slot: u64,
    (record, identity): (Option<StreamRecord>, Option<Bytes>),
    lease: Option<Lease>,
) -> TakenOver {
    if !gate::is_known(record.as_ref(), identity.as_ref()) {
        // Nobody owns it: nothing is settled by index, and what may have run before is known of each event.
        let (position, uncommitted_max) = (None, 0);
        let seen_generation = record.map_or(0, |record| record.generation);
        let asked = TakeOver { seen_generation, identity, position, uncommitted_max };
        if let Err(other) = raise(core, name, &asked).await {
            return other;
        }
    }
    let known = (core.stream(name), &core.fingerprints);
    let state = StreamState::new(name.clone(), slot, Sharing::Shared, 0, lease, known);
    TakenOver::Ready { state: Box::new(state), suspects: 0 }
}

/// The record as it was before, and as it is now; or what has come of it instead.
async fn raise<H: Handler>(
    core: &Core<H>,
    name: &StreamName,
    asked: &TakeOver,
) -> Result<(Option<StreamRecord>, StreamRecord), TakenOver> {
    let call = || core.log.take_over(&core.name, name, asked);
    match persist::persist(&core.name, &core.streams, "taking a stream over", call).await {
        Ok(Ok(raised)) => Ok(raised),
        Ok(Err(StreamRefusal::Raised { .. })) => Err(TakenOver::Raised),
        Ok(Err(refusal)) => Err(TakenOver::Stopped(refusal.to_string())),
        Err(error) => Err(TakenOver::Stopped(crate::error_text(&error))),
    }
}
