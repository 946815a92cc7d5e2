//! Raising a stream's generation and loading its gates. `run` and `take_over` share it.

use super::{core::Core, persist, stream_state::StreamState};
use crate::{
    Handler, Lease, Sharing, StreamName,
    gate::{StreamRefusal, TakeOver},
};

/// Gates that are loaded at once.
const PAGE: u32 = 10_000;

/// What came of it.
pub(crate) enum TakenOver {
    /// The stream is this process's; so many events from here on are suspect.
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
    let call = || core.log.take_over(&core.name, name, asked);
    let raised = persist::persist(&core.name, &core.streams, "taking a stream over", call).await;
    let (before, record) = match raised {
        Ok(Ok(raised)) => raised,
        Ok(Err(StreamRefusal::Raised { .. })) => return TakenOver::Raised,
        Ok(Err(refusal)) => return TakenOver::Stopped(refusal.to_string()),
        Err(error) => return TakenOver::Stopped(crate::error_text(&error)),
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
