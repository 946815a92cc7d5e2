//! What one failing entity in a hundred does to the others: their throughput, their latency, and memory.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use ordered_consumer::{Event, Handler, HandlerError, Limits};
use tokio::runtime::Runtime;

use crate::{
    arms::{self, Samples},
    kafka_rig::{self, Ours, Topic, Writer},
    kafka_sizes::KafkaSizes,
    meter::Meter,
    process_use::resident_bytes,
    report::{Report, Target},
    sizes::Sizes,
};

const NAME: &str = "kafka-failures";
/// What the handler waits for.
const WAIT: Duration = Duration::from_millis(1);
/// Every entity whose number is divisible by it may fail.
const FAILING_OF: usize = 100;
/// Live events come in so many ticks a second.
const TICKS: u32 = 200;
/// Looks at the process's memory while live events come.
const LOOKS: usize = 5;

const ARMS: usize = 4;
const NONE_FAILS: usize = 0;
const SOME_FAIL: usize = 1;
const NO_WAIT_NONE_FAILS: usize = 2;
const NO_WAIT_SOME_FAIL: usize = 3;

/// What the handlers of one run share.
struct Shared {
    some_fail: bool,
    waits: bool,
    /// Others' events of the backlog.
    backlog: Meter,
    /// Others' events that come afterwards, at a steady rate.
    live: Meter,
    is_live: AtomicBool,
    base: Instant,
    latency_micros: Mutex<Histogram<u64>>,
}

struct Charge(Arc<Shared>);

impl Handler for Charge {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let shared = &self.0;
        if shared.waits {
            tokio::time::sleep(WAIT).await;
        }
        if kafka_rig::entity_number(&event).is_multiple_of(FAILING_OF) {
            // In every arm these entities count for nothing, so that the same events are compared.
            let failure = || HandlerError::from(anyhow::anyhow!("this entity fails for good"));
            return if shared.some_fail { Err(failure()) } else { Ok(()) };
        }
        if !shared.is_live.load(Ordering::Acquire) {
            shared.backlog.hit();
            return Ok(());
        }
        let sent = event.payload().and_then(|payload| payload.as_ref().get(..8)?.try_into().ok());
        let sent = Duration::from_nanos(u64::from_be_bytes(sent.unwrap_or_default()));
        let micros = u64::try_from(shared.base.elapsed().saturating_sub(sent).as_micros())?;
        shared.latency_micros.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
        shared.live.hit();
        Ok(())
    }
}

/// What one round of an arm came to.
struct Round {
    rate: f64,
    p50: f64,
    p99: f64,
    resident: Vec<f64>,
}

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = crate::rig::runtime()?;
    let mut rates: [Samples; ARMS] = Default::default();
    let mut p50: [Samples; 2] = Default::default();
    let mut p99: [Samples; 2] = Default::default();
    let mut resident: [Samples; LOOKS] = Default::default();
    let topic = Topic::create(&runtime, "failures-backlog")?;
    let entities = sizes.kafka.failures_entities;
    kafka_rig::fill(&topic, (0..sizes.kafka.backlog_events).map(|number| number % entities))?;
    arms::alternate::<ARMS, _>(
        sizes.rounds,
        |arm, _| run(&runtime, &topic, arm, &sizes.kafka),
        |arm, round| {
            rates[arm].push(round.rate);
            if arm == NONE_FAILS || arm == SOME_FAIL {
                p50[arm].push(round.p50);
                p99[arm].push(round.p99);
            }
            if arm == SOME_FAIL {
                resident.iter_mut().zip(&round.resident).for_each(|(all, this)| all.push(*this));
            }
        },
    )?;
    tell(report, &rates, [&p50, &p99], &resident);
    Ok(())
}

fn tell(
    report: &mut Report,
    rates: &[Samples; ARMS],
    [p50, p99]: [&[Samples; 2]; 2],
    resident: &[Samples; LOOKS],
) {
    let ratio = |some: &Samples, none: &Samples| some.paired(none, |some, none| some / none);
    let mut add = |what: &str, unit, samples: &Samples, target| report.add(NAME, what, unit, samples, target);
    add("others per second, none fails", "events", &rates[NONE_FAILS], Target::None);
    add("others per second, 1 % fail for good", "events", &rates[SOME_FAIL], Target::None);
    let shares = ratio(&rates[SOME_FAIL], &rates[NONE_FAILS]);
    add("others per second, failing / none", "", &shares, Target::AtLeast(0.95));
    let what = "others per second with a handler that does nothing, none fails";
    add(what, "events", &rates[NO_WAIT_NONE_FAILS], Target::None);
    let what = "others per second with a handler that does nothing, 1 % fail for good";
    add(what, "events", &rates[NO_WAIT_SOME_FAIL], Target::None);
    let shares = ratio(&rates[NO_WAIT_SOME_FAIL], &rates[NO_WAIT_NONE_FAILS]);
    add("others per second with a handler that does nothing, failing / none", "", &shares, Target::None);
    for (quantile, latency, target) in [("p50", p50, Target::None), ("p99", p99, Target::AtMost(1.2))] {
        let what = |beside: &str| format!("others' {quantile} from produced to handled, {beside}");
        add(&what("none fails"), "us", &latency[NONE_FAILS], Target::None);
        add(&what("1 % fail for good"), "us", &latency[SOME_FAIL], Target::None);
        add(&what("failing / none"), "", &ratio(&latency[SOME_FAIL], &latency[NONE_FAILS]), target);
    }
    for (look, samples) in resident.iter().enumerate() {
        let what = format!("resident memory beside failing entities, look {} of {LOOKS}", look + 1);
        add(&what, "MiB", samples, Target::None);
    }
    let more = resident[LOOKS - 1].paired(&resident[0], |last, first| last - first);
    add("resident memory, the last look above the first", "MiB", &more, Target::AtMost(16.0));
}

fn run(runtime: &Runtime, topic: &Topic<'_>, arm: usize, sizes: &KafkaSizes) -> anyhow::Result<Round> {
    let others = |events: usize| events - events.div_ceil(FAILING_OF);
    let live_events = live_ticks(sizes) * per_tick(sizes);
    let backlog = others(sizes.backlog_events);
    let shared = Arc::new(Shared {
        some_fail: arm == SOME_FAIL || arm == NO_WAIT_SOME_FAIL,
        waits: arm == NONE_FAILS || arm == SOME_FAIL,
        backlog: Meter::new(backlog / 5, backlog),
        live: Meter::new(1, others(live_events)),
        is_live: AtomicBool::new(false),
        base: Instant::now(),
        // Bounds of its own: one that grows by itself records what is over its present bound as nearly nothing.
        latency_micros: Mutex::new(Histogram::new_with_bounds(1, 600_000_000, 3)?),
    });
    let live_topic = if shared.waits { Some(Topic::create(runtime, "failures-live")?) } else { None };
    let ours = Ours::new(runtime, Limits::default())?;
    let consumer = ours.consumer(Charge(Arc::clone(&shared)))?;
    let topics: Vec<&Topic<'_>> = std::iter::once(topic).chain(&live_topic).collect();
    let source = ours.source(&topics, None)?;
    let (sizes, with) = (sizes.clone(), Arc::clone(&shared));
    let live_name = live_topic.as_ref().map(|topic| topic.name.clone());
    let resident = crate::rig::in_time(runtime, async move {
        let mut resident = Vec::new();
        let measuring = async {
            with.backlog.done().await;
            if let Some(topic) = live_name {
                with.is_live.store(true, Ordering::Release);
                live(&with, &sizes, &topic, &mut resident).await?;
                with.live.done().await;
            }
            anyhow::Ok(())
        };
        let mut measured = Ok(());
        consumer.run_until(source, async { measured = measuring.await }).await?;
        measured?;
        Ok(resident)
    })?;
    let recorded = shared.latency_micros.lock().unwrap_or_else(PoisonError::into_inner);
    let quantile = |share| recorded.value_at_quantile(share) as f64;
    Ok(Round { rate: shared.backlog.rate()?, p50: quantile(0.5), p99: quantile(0.99), resident })
}

fn per_tick(sizes: &KafkaSizes) -> usize {
    sizes.live_per_second / TICKS as usize
}

fn live_ticks(sizes: &KafkaSizes) -> usize {
    let ticks = sizes.live.as_millis() * u128::from(TICKS) / 1_000;
    usize::try_from(ticks).unwrap_or(usize::MAX)
}

/// Events at a steady rate, whatever becomes of them, with looks at the memory in between.
async fn live(
    shared: &Shared,
    sizes: &KafkaSizes,
    topic: &str,
    resident: &mut Vec<f64>,
) -> anyhow::Result<()> {
    let writer = Writer::new(Duration::from_millis(0))?;
    // A producer that has sent nothing yet knows no broker: what comes first would tell how long that takes. This entity
    // counts for nothing.
    writer.write(topic, &crate::rig::entity("entity", 0), &[b'x'; kafka_rig::PAYLOAD_BYTES])?;
    writer.flush()?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / TICKS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let (count, mut number) = (live_ticks(sizes), 0_usize);
    for tick in 0..count {
        ticks.tick().await;
        for _ in 0..per_tick(sizes) {
            let mut payload = [b'x'; kafka_rig::PAYLOAD_BYTES];
            let sent = u64::try_from(shared.base.elapsed().as_nanos())?.to_be_bytes();
            payload[..8].copy_from_slice(&sent);
            let entity = crate::rig::entity("entity", number % sizes.failures_entities);
            writer.write(topic, &entity, &payload)?;
            number += 1;
        }
        // The first look is after a fifth of the time: buffers of the backlog are given back by then.
        if (tick + 1) * LOOKS / count > resident.len() {
            resident.push(resident_bytes() / f64::from(1 << 20));
        }
    }
    writer.flush()
}
