//! How a program ends, and what it says then.

use anyhow::Result;
use ordered_consumer::{GateQuery, Operator, Stats, display_safe};
use tokio::signal::unix::{SignalKind, signal};

/// Ctrl-C, or what a service manager sends.
pub(crate) async fn asked_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Whether nothing waits but for an operator.
pub(crate) async fn waits_only_for_operators(operator: &Operator) -> bool {
    matches!(operator.totals().await, Ok(totals) if totals.gated_entities == totals.parked_entities)
}

/// What an operator would want to know.
pub(crate) async fn tell(stats: &Stats, operator: &Operator) -> Result<()> {
    println!(
        "\nconsumed {}, handled {}, held {}, resolved by retries {}, duplicates {}",
        stats.consumed, stats.handled, stats.held, stats.resolved, stats.duplicates
    );
    let gated = operator.list(&GateQuery { limit: 20, ..GateQuery::default() }).await?;
    if gated.is_empty() {
        println!("Nothing waits.");
        return Ok(());
    }
    println!("What waits (see the example `operate` for what can be done about it):");
    for found in gated {
        let entity = String::from_utf8_lossy(&found.key.entity).into_owned();
        let (state, held) = (found.gate.state().as_str(), found.gate.held_events);
        println!("  {} of {}: {state}, {held} held", display_safe(&entity), found.key.stream);
        println!("    {}", operator.explain(found.key.entity.clone()).await?);
    }
    Ok(())
}
