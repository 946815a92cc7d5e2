//! An operator at work on a failure log in a SQLite file, through a handle of their own, while the consumer runs.

use std::{
    io::{Write, stdout},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use ordered_consumer::{
    ConsumerName, CountBy, Event, GateQuery, Headers, Index, Operator, OperatorError, OrderedConsumer, Pace,
    RetryPolicy, SqliteFailureLog, StreamName, display_safe, gate::OperatorRefusal, permanent,
};
use tokio::sync::oneshot;

/// How long the example waits for what it has asked for, which takes a second or so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the example, and says by the exit status whether all went well.
#[must_use]
pub fn main() -> ExitCode {
    crate::program::run(operate(&mut stdout()))
}

/// The handler: an amount must be a number of cents.
async fn charge(event: Event) -> Result<(), ordered_consumer::HandlerError> {
    let amount = event.payload().map(|payload| String::from_utf8_lossy(payload).into_owned());
    match amount.as_deref().unwrap_or("").parse::<u64>() {
        Ok(_) => Ok(()),
        Err(_) => Err(permanent("the amount is not a number")),
    }
}

fn event(index: u128, entity: &'static str, payload: &'static str) -> anyhow::Result<Event> {
    let stream = StreamName::new("payments/0")?;
    Ok(Event::builder(stream, Index::new(index), entity).event_type("order.paid").payload(payload).build())
}

/// The whole example; what it shows is written to `out`.
///
/// # Errors
/// When the failure log cannot be used, or `out` cannot be written to.
pub async fn operate(out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("failures.db");
    let failures = SqliteFailureLog::open(&file).await?;
    let consumer = OrderedConsumer::new("billing", charge, failures);
    let consumer = Arc::new(consumer.with_retry_policy(RetryPolicy::none()));
    // Two payments cannot be charged; what comes behind them is held.
    for (index, entity, payload) in
        [(1, "ann", "12,50"), (2, "bob", "800"), (3, "ann", "300"), (4, "cleo", "free"), (5, "ann", "400")]
    {
        let outcome = consumer.process(event(index, entity, payload)?).await?;
        writeln!(out, "{entity}'s payment {index}: {outcome}")?;
    }

    // The consumer goes on; the operator has a handle of their own, as the command line and the console do.
    let (stop, stopped) = oneshot::channel::<()>();
    let retries = tokio::spawn({
        let consumer = Arc::clone(&consumer);
        async move { consumer.run_retries_until(async { drop(stopped.await) }).await }
    });
    let theirs = Arc::new(SqliteFailureLog::open(&file).await?);
    let operator = Operator::new(theirs, ConsumerName::new("billing")?, "olga");
    look(out, &operator).await?;
    mend(out, &operator).await?;
    eventually_clear(&operator).await?;
    writeln!(out, "\nNothing is held any more. What was done:")?;
    audit(out, &operator).await?;
    drop(stop);
    retries.await??;
    Ok(())
}

async fn look(out: &mut (impl Write + Send), operator: &Operator) -> anyhow::Result<()> {
    let query = GateQuery { limit: 100, ..GateQuery::default() };
    writeln!(out, "\nGated entities:")?;
    for found in operator.list(&query).await? {
        // A key is the user's data: it may have anything in it, and is shown with care.
        let entity = String::from_utf8_lossy(&found.key.entity).into_owned();
        let (state, held) = (found.gate.state().as_str(), found.gate.held_events);
        writeln!(out, "  {}: {state}, {held} held", display_safe(&entity))?;
        writeln!(out, "    {}", operator.explain(found.key.entity.clone()).await?)?;
    }
    writeln!(out, "By cause:")?;
    for group in operator.counts(&query, CountBy::Cause).await?.groups {
        let name = group.name.unwrap_or_default();
        let (name, count) = (String::from_utf8_lossy(&name).into_owned(), group.count);
        writeln!(out, "  {name}: {} entities, {} events", count.entities, count.held_events)?;
    }
    Ok(())
}

/// Ann's amount is mended; the rest is retried by one call, and given up when that does not help.
async fn mend(out: &mut (impl Write + Send), operator: &Operator) -> anyhow::Result<()> {
    let by_entity =
        |entity: &'static str| GateQuery { entity: Some(entity.into()), limit: 1, ..GateQuery::default() };
    let ann = operator.list(&by_entity("ann")).await?.pop().context("ann is gated")?;
    operator.edit(&ann, Some("1250".into()), Headers::default(), "a comma in the amount").await?;
    let stale = operator.skip(&ann, "on second thoughts").await;
    writeln!(out, "\nAnn's payment is edited. Acting on what was seen before that is {}", told(stale))?;
    let original = operator.original(&ann.key, Index::new(1)).await?.context("the original is kept")?;
    let payload = original.payload().map(|payload| String::from_utf8_lossy(payload).into_owned());
    writeln!(out, "It came as {:?}.", payload.unwrap_or_default())?;

    let cleo = by_entity("cleo");
    let preview = operator.preview_retry_all(&cleo).await?;
    writeln!(out, "Retrying everything of cleo's would retry {} entity.", preview.by_cause.total.entities)?;
    let report = operator.retry_all(&cleo, &Pace::default(), "did it help?", |_| {}).await?;
    writeln!(out, "{} entity retried.", report.progress.retried)?;
    let parked = async || -> anyhow::Result<_> {
        let found = operator.list(&by_entity("cleo")).await?.pop();
        Ok(found.filter(|found| found.gate.parked.is_some()))
    };
    let failed_again = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = parked().await? {
                return anyhow::Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let failed_again = failed_again.await.context("waiting for cleo's payment to fail again")??;
    operator.note(&failed_again, "asked the shop: it was a present").await?;
    operator.skip(&failed_again, "a present").await?;
    writeln!(out, "It failed again, and is given up.")?;
    Ok(())
}

/// Its version is a number that says nothing to people.
fn told(outcome: Result<(), OperatorError>) -> String {
    match outcome {
        Ok(()) => "done".to_owned(),
        Err(OperatorError::Refused(OperatorRefusal::Stale { .. })) => {
            "refused: the entity has changed since".to_owned()
        }
        Err(other) => other.to_string(),
    }
}

async fn eventually_clear(operator: &Operator) -> anyhow::Result<()> {
    let cleared = tokio::time::timeout(PATIENCE, async {
        while operator.totals().await?.gated_entities > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    });
    cleared.await.context("waiting until nothing is held")?
}

async fn audit(out: &mut (impl Write + Send), operator: &Operator) -> anyhow::Result<()> {
    let mut lines = operator.audit(None, 100).await?;
    lines.reverse();
    for line in lines {
        let entity = String::from_utf8_lossy(&line.key.entity).into_owned();
        let state = |summary: Option<ordered_consumer::gate::GateSummary>| {
            summary.map_or("clear", |summary| summary.state.as_str())
        };
        let audit = line.audit;
        let (by, why, entity) = (display_safe(&audit.by), display_safe(&audit.why), display_safe(&entity));
        let (before, after) = (state(audit.before), state(audit.after));
        let came_of_it = match audit.outcome {
            Ok(_) => format!("{before} -> {after}"),
            Err(_) => "refused".to_owned(),
        };
        writeln!(out, "  {by}: {} {entity} ({why}): {came_of_it}", audit.action)?;
    }
    Ok(())
}
