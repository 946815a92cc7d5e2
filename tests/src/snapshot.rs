//! Everything that can be seen of a failure log, to be compared.

use std::time::Duration;

use ordered_consumer::{
    ConsumerName, FailureLog, FailureLogError, GateQuery, GatedEntity, Index, StreamName, Totals, gate::State,
};

/// What is in a log, a line for each thing, without versions: those count how often something was tried.
///
/// It is read in several calls. Beside somebody who writes, it may be torn.
///
/// # Errors
/// What the log says.
pub async fn snapshot(
    log: &dyn FailureLog,
    consumer: &ConsumerName,
    streams: &[StreamName],
) -> Result<Vec<String>, FailureLogError> {
    let totals = log.totals(consumer).await?;
    // An age grows while one looks; whether there is one does not.
    let oldest_held = totals.oldest_held.map(|_| Duration::ZERO);
    let mut lines = vec![format!("{:?}", Totals { oldest_held, ..totals })];
    for stream in streams {
        lines.push(format!("{stream}: {:?}", log.stream(consumer, stream).await?));
        for paused_only in [false, true] {
            let found = log.gated_entities(consumer, stream, None, 1_000, paused_only).await?;
            lines.push(format!("{stream} gates, paused only {paused_only}: {found:?}"));
        }
    }
    for state in [None, Some(State::Cleared)] {
        let query = GateQuery { state, limit: 1_000, ..GateQuery::default() };
        for GatedEntity { key, mut gate, now: _ } in log.list(consumer, &query).await? {
            gate.version = 0;
            lines.push(format!("{} {:?}: {gate:?}", key.stream, key.entity));
            let all = (Index::MIN, Index::MAX);
            for event in log.held_events(consumer, &key, all, 1_000, u64::MAX).await? {
                lines.push(format!("  {} {:?} {:?}", event.index(), event.id(), event.payload()));
            }
        }
    }
    for line in log.audit(consumer, None, 1_000).await? {
        let mut audit = line.audit;
        audit.outcome = audit.outcome.map(|_| 0);
        for summary in [&mut audit.before, &mut audit.after].into_iter().flatten() {
            summary.version = 0;
        }
        lines.push(format!("{:?} {:?} {audit:?}", line.key, line.key.entity));
    }
    Ok(lines)
}
