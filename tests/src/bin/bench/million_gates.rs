//! A million gated entities in SQLite: takeover, memory, and what a hold and a due look-up cost beside them.

use std::{
    path::Path,
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
const MANY: usize = 1;
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
    let gates = [FEW_GATES.min(sizes.gates), sizes.gates];
    let files = [directory.path().join("few.db"), directory.path().join("many.db")];
    let open = |file: &Path| runtime.block_on(SqliteFailureLog::open(file));
    let logs = [open(&files[FEW])?, open(&files[MANY])?];
    for (log, gates) in logs.iter().zip(gates) {
        runtime.block_on(fill(log, gates, sizes.rounds))?;
    }
    let mut costs: [[Samples; 3]; 2] = Default::default();
    arms::alternate::<2, _>(
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
        let [few, many] = [&costs[FEW][place], &costs[MANY][place]];
        report.add(NAME, format!("{what}, {} gates", gates[FEW]), "us", few, Target::None);
        report.add(NAME, format!("{what}, {} gates", gates[MANY]), "us", many, Target::None);
        let ratio = many.paired(few, |many, few| many / few);
        report.add(NAME, format!("{what}, many / few"), "", &ratio, Target::AtMost(2.0));
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
