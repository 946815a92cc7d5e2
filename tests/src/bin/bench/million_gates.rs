//! A million gated entities in SQLite: takeover, memory, and what a hold and a due look-up cost beside them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use ordered_consumer::{
    ConsumerName, Event, FailureLog, Handler, HandlerError, OrderedConsumer, SqliteFailureLog,
    StreamDecision, gate::Next, in_memory_broker::InMemoryBroker,
};
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    arms::{self, Samples},
    process_use::resident_bytes,
    report::{Report, Target},
    rig, seed,
    sizes::Sizes,
};

const NAME: &str = "million-gates";
const FEW: usize = 0;
/// As few gates as `FEW`, holding as many events as `MANY`: what is left between these two is the gates' doing.
const FULL: usize = 1;
const MANY: usize = 2;
/// Gates of the smaller log.
const FEW_GATES: usize = 1_000;
/// Gates that one look-up takes.
const TAKEN: u32 = 25;
/// Events of one batch, each of another entity.
const BATCH: usize = 500;
const BATCHES: usize = 4;
const SINGLES: usize = 20;
/// Coprime to the numbers of gates, so that neighbours in time are no neighbours in the index.
const STRIDE: usize = 7_919;

/// One round's costs, in microseconds.
struct Costs {
    hold_batched: f64,
    hold_alone: f64,
    take_due: f64,
}

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let directory = tempfile::tempdir()?;
    let few = FEW_GATES.min(sizes.gates);
    let gates = [few, few, sizes.gates];
    let open = |file: &str| runtime.block_on(SqliteFailureLog::open(directory.path().join(file)));
    let logs = [open("few.db")?, open("full.db")?, open("many.db")?];
    for (log, gates) in logs.iter().zip(gates) {
        runtime.block_on(fill(log, gates, sizes.rounds))?;
    }
    runtime.block_on(hold_more(&logs[FULL], few, sizes.gates))?;
    let mut costs: [[Samples; 3]; 3] = Default::default();
    arms::alternate::<3, _>(
        sizes.rounds,
        |arm, round| runtime.block_on(cost(&logs[arm], gates[arm], round)),
        |arm, cost| {
            costs[arm][0].push(cost.hold_batched);
            costs[arm][1].push(cost.hold_alone);
            costs[arm][2].push(cost.take_due);
        },
    )?;
    let names = ["a hold, in a batch of 500", "a hold, alone", "a due look-up that takes 25"];
    for (place, what) in names.into_iter().enumerate() {
        let [few, full, many] = [&costs[FEW][place], &costs[FULL][place], &costs[MANY][place]];
        let mut add = |gates: String, samples: &Samples, target| {
            let unit = if gates.contains('/') { "" } else { "us" };
            report.add(NAME, format!("{what}, {gates}"), unit, samples, target);
        };
        add(format!("{} gates, one event each", gates[FEW]), few, Target::None);
        add(format!("{} gates, {} events in all", gates[FULL], gates[MANY]), full, Target::None);
        add(format!("{} gates, one event each", gates[MANY]), many, Target::None);
        let ratio = |other: &Samples| many.paired(other, |many, other| many / other);
        add("many / few gates, as many events".to_owned(), &ratio(full), Target::AtMost(2.0));
        add("many / few gates, one event each".to_owned(), &ratio(few), Target::AtMost(2.0));
    }
    take_over(&runtime, &logs[MANY], sizes, report)
}

async fn fill(log: &SqliteFailureLog, gates: usize, rounds: usize) -> anyhow::Result<()> {
    // As many are due as all rounds take, and the one before them; the others are due later.
    let due = usize::try_from(TAKEN)? * (rounds + 1);
    let next = |number| Next::Retry(if number < due { Duration::ZERO } else { Duration::from_secs(36_000) });
    let entity = |number| rig::entity("gated", number * STRIDE % gates);
    let requests = (0..gates).map(|number| seed::failed(entity(number), number as u128, next(number)));
    seed::apply_all(log, &ConsumerName::new("bench")?, requests).await
}

/// Holds events for the few gates, a few of each at a time, until the log has so many.
async fn hold_more(log: &SqliteFailureLog, gates: usize, events: usize) -> anyhow::Result<()> {
    const EACH: usize = 4;
    let rounds = (events / gates).saturating_sub(1).div_ceil(EACH);
    let held = (0..rounds * gates).map(|number| {
        let from = 1_000_000 + (number / gates * EACH) as u128;
        seed::arrived(rig::entity("gated", number * STRIDE % gates), from..from + EACH as u128)
    });
    seed::apply_all(log, &ConsumerName::new("bench")?, held).await
}

async fn cost(log: &SqliteFailureLog, gates: usize, round: usize) -> anyhow::Result<Costs> {
    let (consumer, settings) = (ConsumerName::new("bench")?, seed::settings());
    let mut number = round * (BATCH * BATCHES + SINGLES);
    let mut hold = || {
        number += 1;
        // An index that no gate's event has, and that no entity gets twice.
        let index = 1_000_000_000 + number as u128;
        seed::arrived(rig::entity("gated", number * STRIDE % gates), index..index + 1)
    };
    let mut batches = Vec::new();
    for size in [vec![BATCH.min(gates); BATCHES], vec![1; SINGLES]].concat() {
        batches.push((0..size).map(|_| hold()).collect::<anyhow::Result<Vec<_>>>()?);
    }
    let (mut hold_batched, mut hold_alone) = (0.0, 0.0);
    for batch in &batches {
        let started = Instant::now();
        log.apply(&consumer, &settings, batch).await?;
        let took = started.elapsed().as_secs_f64() * 1e6;
        if batch.len() > 1 {
            hold_batched += took / (batch.len() * BATCHES) as f64;
        } else {
            hold_alone += took / SINGLES as f64;
        }
    }
    let started = Instant::now();
    let due = log.take_due(&consumer, &settings, TAKEN).await?;
    let take_due = started.elapsed().as_secs_f64() * 1e6;
    anyhow::ensure!(due.taken.len() == usize::try_from(TAKEN)?, "{} gates were due", due.taken.len());
    Ok(Costs { hold_batched, hold_alone, take_due })
}

/// Notes when the first event of the clear entity is handled, and what memory is in use then.
#[derive(Default)]
struct First(Mutex<Option<(Instant, f64)>>);

impl Handler for First {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        if event.entity().starts_with(b"clear") {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| (Instant::now(), resident_bytes()));
        }
        Ok(())
    }
}

fn take_over(
    runtime: &Runtime,
    log: &SqliteFailureLog,
    sizes: &Sizes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut seconds, mut bytes) = (Samples::default(), Samples::default());
    for _ in 0..sizes.rounds {
        let broker = InMemoryBroker::new();
        broker.create_topic(rig::TOPIC, 1)?;
        broker.publish(rig::TOPIC, "clear", "x")?;
        // The event is read from the start again.
        let (name, stream) = (ConsumerName::new("bench")?, rig::stream()?);
        let forget = log.decide_stream(&name, &stream, StreamDecision::Replay, "bench", "again");
        runtime.block_on(forget)?;
        let first = Arc::new(First::default());
        let consumer = OrderedConsumer::new("bench", Arc::clone(&first), log.clone());
        let source = broker.subscribe("takeover", &[rig::TOPIC])?.end_when_drained();
        let (before, started) = (resident_bytes(), Instant::now());
        runtime.block_on(runtime.spawn(async move { consumer.run(source).await }))??;
        let noted = *first.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, resident) = noted.context("the clear entity's event was not handled")?;
        seconds.push((at - started).as_secs_f64());
        bytes.push((resident - before) / sizes.gates as f64);
    }
    report.add(NAME, "takeover, from start to the first handled event", "s", &seconds, Target::AtMost(10.0));
    report.add(NAME, "resident memory of the cache, each gate", "bytes", &bytes, Target::AtMost(100.0));
    Ok(())
}
