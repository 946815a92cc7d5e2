//! One consumer life after another, until everything is done; then the verdict.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use ordered_consumer::{ConsumerName, FailureLog, Index, Operator, Stats, StreamName, display_safe};
use tokio::runtime::{Builder, Runtime};

use super::{
    Compare, EventLog, Faults, Interrupt, Options, Record, ReplayError, Report, check,
    error::{bad_input, failed},
    journal::Journal,
    life::{CONSUMER, LifeEnd, TOPIC, live},
    naive,
    position::{Saved, beside},
    report::{Counts, Left, NAMED_MAX},
    store::{self, Store},
    timeline, trace,
    world::{PARTITIONS, World},
};

/// Replays as the options say, and returns what came of it.
///
/// Blocks until it is done, or until the interrupt is asked for. Must not be called in an asynchronous context.
///
/// # Errors
/// [`ReplayError::BadInput`] for everything that whoever asked can mend, [`ReplayError::Failed`] for the rest.
pub fn replay(options: &Options, interrupt: &Interrupt) -> Result<Report, ReplayError> {
    let log = Arc::new(EventLog::read(options).map_err(bad_input)?);
    let entities = log.entities.len();
    if options.park > entities {
        let (park, title) = (options.park, &log.title);
        return Err(bad_input(anyhow!("--park {park} is more than the {entities} entities of {title}")));
    }
    let trace_file = options.trace.as_deref().map(trace::create).transpose().map_err(bad_input)?;
    let mut report =
        if options.break_order { broken(options, &log) } else { ordered(options, &log, interrupt)? };
    if let Some(file) = trace_file {
        trace::write(file, &log, &report.runs).map_err(failed)?;
    }
    if options.compare == Some(Compare::Naive) {
        let (runs, given_up) = naive(&log, &Faults::draw(&log, options.seed, options.fail, options.park));
        report.naive_misordered = Some(check(&log, &runs, &[], &given_up).misordered_entities.len());
    }
    Ok(report)
}

/// Through the product.
fn ordered(options: &Options, log: &Arc<EventLog>, interrupt: &Interrupt) -> Result<Report, ReplayError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let store = Store::choose(options.store.as_ref()).map_err(failed)?;
    let record = Arc::new(Record::new(log.events.len()));
    let saved = resume(options, log, &store, &record, &runtime).map_err(bad_input)?;
    let world = World::new(options.clone(), Arc::clone(log), record, store, interrupt.clone(), saved)
        .map_err(failed)?;
    world.save().map_err(bad_input)?;
    let (end, counts) = live_on(&world).map_err(failed)?;
    world.save().map_err(failed)?;
    conclude(&world, end, counts, &runtime).map_err(failed)
}

/// Finds out what an earlier process has left on this store, and goes on there; refuses what is not this replay's.
fn resume(
    options: &Options,
    log: &EventLog,
    store: &Store,
    record: &Record,
    runtime: &Runtime,
) -> Result<Saved> {
    let partitions = usize::try_from(PARTITIONS)?;
    let begin = Saved::begin(log, options, partitions);
    runtime.block_on(store.check())?;
    let Some(path) = store.resumable() else { return Ok(begin) };
    let existed = path.exists();
    let saved = Saved::load(path)?;
    if let Some(saved) = &saved {
        saved.check(&begin, path)?;
        ensure!(
            existed,
            "{} is left of a replay whose failure log {} is gone; remove what begins with {0} too",
            beside(path, "replay.json").display(),
            path.display(),
        );
    }
    let settled = runtime.block_on(async { settled(&*store.open().await?).await })?;
    let is_used = settled.iter().any(Option::is_some);
    if saved.is_none() && is_used {
        bail!(
            "{} holds a replay, but {}, which says how far it is, is missing; name another path",
            path.display(),
            beside(path, "replay.json").display(),
        );
    }
    let mut saved = saved.unwrap_or(begin);
    for (next, settled) in saved.next.iter_mut().zip(settled) {
        // A process that was killed may have had no time to write down the last positions. What the failure log
        // knows to be settled had been told to the broker.
        *next = settled.unwrap_or(0).max(*next);
    }
    let (journal, runs) = Journal::open(&beside(path, "replay.jsonl"), log.events.len())?;
    record.resume(runs, journal);
    Ok(saved)
}

/// For each stream, the index after the last one that the failure log knows to be settled; none for a stream that it
/// has never seen.
async fn settled(log: &dyn FailureLog) -> Result<Vec<Option<u64>>> {
    let consumer = ConsumerName::new(CONSUMER)?;
    let mut settled = Vec::new();
    for partition in 0..PARTITIONS {
        let stream = StreamName::new(format!("{TOPIC}/{partition}"))?;
        let record = log.stream(&consumer, &stream).await.context("cannot read the failure log")?;
        let next = |index: Index| u64::try_from(index.get().saturating_add(1));
        settled.push(record.map(|record| record.settled.map_or(Ok(0), next)).transpose()?);
    }
    Ok(settled)
}

/// One life after another.
fn live_on(world: &World) -> Result<(LifeEnd, Counts)> {
    let mut counts = Counts::default();
    let earlier = world.record.ended_runs().iter().map(|run| run.life).max();
    let mut life = earlier.unwrap_or(0);
    loop {
        life += 1;
        world.arm();
        let (end, stats) = live(world, life)?;
        counts.add(&stats);
        if end != LifeEnd::Crashed {
            return Ok((end, counts));
        }
        world.crashed();
    }
}

impl Counts {
    fn add(&mut self, stats: &Stats) {
        self.held += stats.held;
        self.duplicates += stats.duplicates;
        self.suspects += stats.suspects;
    }
}

/// Looks at what is left, and judges.
fn conclude(world: &World, end: LifeEnd, counts: Counts, runtime: &Runtime) -> Result<Report> {
    let (held, left) = runtime.block_on(left(world))?;
    runtime.block_on(world.store.clean_up())?;
    let (ended, dropped) = (world.record.ended_runs(), world.record.dropped_runs());
    let mut findings = check(&world.log, &ended, &dropped, &held);
    let is_interrupted = end == LifeEnd::Interrupted;
    if is_interrupted {
        // The broker still has what it was not told to be done.
        let settled = world.settled_rows();
        findings.unaccounted.retain(|row| settled.contains(row));
    }
    let arrival = |row| world.record.arrival(row);
    let timeline = timeline::draw(&world.log, &ended, &arrival, &held);
    let resumable = world.store.resumable().is_some();
    Ok(Report {
        title: world.log.title.clone(),
        events: world.log.events.len(),
        entities: world.log.entities.len(),
        handled: world.record.handled_count(),
        crashes: world.crashes(),
        elapsed: world.record.elapsed(),
        is_resumable: is_interrupted && resumable,
        is_interrupted,
        counts,
        left,
        findings,
        timeline,
        naive_misordered: None,
        runs: ended,
    })
}

/// The rows left in the failure log, and what an operator is told about what is parked.
async fn left(world: &World) -> Result<(BTreeSet<usize>, Left)> {
    let log = world.store.open().await?;
    let consumer = ConsumerName::new(CONSUMER)?;
    let gates = store::gates(&*log, &consumer).await?;
    let rows = store::held_rows(&*log, &consumer, &gates).await?;
    let operator = Operator::new(log, consumer, "replay");
    let mut left = Left { held: rows.len(), ..Left::default() };
    for gate in gates.iter().filter(|gate| gate.gate.parked.is_some()) {
        left.parked += 1;
        if left.parked <= NAMED_MAX {
            let sentence = operator.explain(gate.key.entity.clone()).await?;
            let name = String::from_utf8_lossy(&gate.key.entity);
            left.explained.push(format!("{}: {sentence}", display_safe(&name)));
        }
    }
    Ok((rows, left))
}

/// Through a plain retry queue in the product's place, for the tests of the checks themselves.
fn broken(options: &Options, log: &EventLog) -> Report {
    let (runs, given_up) = naive(log, &Faults::draw(log, options.seed, options.fail, options.park));
    let findings = check(log, &runs, &[], &given_up);
    let handled = log.events.len() - given_up.len();
    Report {
        title: log.title.clone(),
        events: log.events.len(),
        entities: log.entities.len(),
        handled,
        left: Left { held: given_up.len(), ..Left::default() },
        timeline: timeline::draw(log, &runs, &|_| None, &given_up),
        findings,
        runs,
        ..Report::default()
    }
}
