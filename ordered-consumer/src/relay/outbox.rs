//! Publishing what is released, in order.

use tracing::Instrument;

use super::Ended;
use crate::{EventPublisher, Handler, Index, PublishError, ReleasedEvent, TakenGate, engine::core::Core};

/// Events read and published at once.
const PAGE_EVENTS: u32 = 100;
/// Bytes of them, beyond the first; as many pages are in memory as gates are being published.
const PAGE_BYTES: u64 = 128 << 10;

/// Publishes `head … released`, and nothing after the first that does not go out. What has not gone out, or does not
/// come back, is taken again when the gate falls due.
pub(super) async fn publish<H: Handler>(
    core: &Core<H>,
    publisher: &dyn EventPublisher,
    taken: TakenGate,
) -> Ended {
    let (head, released) = (taken.taken.head, taken.taken.released);
    let mut from = head;
    loop {
        let page =
            core.log.held_events(&core.name, &taken.key, (from, released), PAGE_EVENTS, PAGE_BYTES).await;
        let events = match page {
            Ok(events) => events,
            Err(error) => {
                let error = crate::error_text(&error);
                tracing::warn!(consumer = %core.name, error, "released events cannot be read, and are published later");
                return Ended::Gate;
            }
        };
        let Some(last) = events.last().map(crate::Event::index) else { return Ended::Gate };
        let attempts = |index| if index == head { taken.taken.attempts } else { 0 };
        let copies: Vec<ReleasedEvent> = events
            .into_iter()
            .map(|event| ReleasedEvent { attempts: attempts(event.index()), event })
            .collect();
        let span = core.telemetry.publish_span(&taken.key.stream, copies.len());
        let published = publisher.publish(&copies).instrument(span.clone()).await;
        core.stream(&taken.key.stream).tally.published.add(published.count as u64);
        if let Some(error) = published.failed {
            span.record(
                "error.type",
                if matches!(error, PublishError::Refused(_)) { "refused" } else { "unavailable" },
            );
            let refused_head = published.count == 0 && from == head;
            let event = copies.get(published.count).map(|copy| copy.event.to_string());
            tracing::warn!(consumer = %core.name, event, error = crate::error_text(&error), "an event was not published; nothing of its entity goes out after it");
            return match error {
                PublishError::Refused(_) if refused_head => Ended::Refused(taken),
                PublishError::Refused(_) | PublishError::Unavailable(_) => Ended::Gate,
            };
        }
        match last.get().checked_add(1) {
            Some(next) if last < released => from = Index::new(next),
            _ => return Ended::Gate,
        }
    }
}
