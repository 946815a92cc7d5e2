//! The quiet path: events of clear entities, against a bare loop that calls the handler.

use anyhow::Context as _;
use ordered_consumer::{
    ConsumerName, EventSource, FailureLog, Handler, Limits, MemoryFailureLog, OrderedConsumer, Settlement,
    SourceMessage, StreamDecision, in_memory_broker::InMemoryBroker, testing::FaultyFailureLog,
};
use tokio::runtime::Runtime;

use crate::{
    arms::{self, Samples},
    report::{Report, Target},
    rig::{self, BATCH, Nothing},
    seed,
    sizes::Sizes,
    timed_source::{Timed, TimedSource},
};

const ARMS: usize = 3;
const BARE: usize = 0;
const DEFAULT: usize = 1;
const ONE_WORKER: usize = 2;

/// Measures with so many gated entities in the cache, other ones than those that flow.
pub(crate) fn measure(sizes: &Sizes, gates: usize, report: &mut Report) -> anyhow::Result<()> {
    let name = if gates == 0 { "quiet" } else { "quiet-gated" };
    let target = if gates == 0 { 350.0 } else { 600.0 };
    let runtime = rig::runtime()?;
    let events = sizes.quiet_events;
    let broker = rig::filled(0, events, sizes.quiet_entities, "clear")?;
    let log = MemoryFailureLog::new();
    let consumer = ConsumerName::new("bench")?;
    runtime.block_on(seed::parked(&log, &consumer, gates))?;
    // It counts calls, and has no faults. On the quiet path none is made for an event, so that counting costs nothing of
    // what is measured; the count below shows it.
    let log = FaultyFailureLog::new(log);
    let mut wall: [Samples; ARMS] = Default::default();
    let mut cpu: [Samples; ARMS] = Default::default();
    arms::alternate::<ARMS, _>(
        sizes.quiet_rounds,
        |arm, round| run(&runtime, &broker, log.clone(), arm, &format!("{arm}-{round}"), events),
        |arm, timed| {
            wall[arm].push(timed.wall_nanos / events as f64);
            cpu[arm].push(timed.cpu_nanos / events as f64);
        },
    )?;
    let more =
        |samples: &[Samples; ARMS], arm: usize| samples[arm].paired(&samples[BARE], |ours, bare| ours - bare);
    report.add(name, "calling the handler, wall time per event", "ns", &wall[BARE], Target::None);
    report.add(name, "consumer, wall time per event", "ns", &wall[DEFAULT], Target::None);
    report.add(name, "consumer with one worker, wall time per event", "ns", &wall[ONE_WORKER], Target::None);
    report.add(
        name,
        "consumer: more wall time per event",
        "ns",
        &more(&wall, DEFAULT),
        Target::AtMost(target),
    );
    report.add(
        name,
        "one worker: more wall time per event",
        "ns",
        &more(&wall, ONE_WORKER),
        Target::AtMost(target),
    );
    report.add(
        name,
        "consumer: more CPU time per event, all threads",
        "ns",
        &more(&cpu, DEFAULT),
        Target::None,
    );
    report.add(
        name,
        "one worker: more CPU time per event, all threads",
        "ns",
        &more(&cpu, ONE_WORKER),
        Target::None,
    );
    let mut writes = Samples::default();
    // Streams' own records and the relay's periodic look do not come with events.
    let calls = log.calls();
    let for_events = calls.apply + calls.held_events + calls.which_gated;
    writes.push(f64::from(u32::try_from(for_events).unwrap_or(u32::MAX)));
    report.add(
        name,
        "calls to the failure log for events, all rounds",
        "calls",
        &writes,
        Target::AtMost(0.0),
    );
    Ok(())
}

fn run(
    runtime: &Runtime,
    broker: &InMemoryBroker,
    log: FaultyFailureLog<MemoryFailureLog>,
    arm: usize,
    group: &str,
    events: usize,
) -> anyhow::Result<Timed> {
    let (source, slot) = rig::subscribe(broker, group, (events + BATCH - 1) as u128)?;
    if arm == BARE {
        runtime.block_on(runtime.spawn(bare(source, Nothing)))??;
        return rig::taken(&slot);
    }
    let mut limits = Limits::default();
    if arm == ONE_WORKER {
        limits.workers = 1;
    }
    // Every round reads the same events from the start: the log must forget that they are settled.
    runtime.block_on(log.decide_stream(
        &ConsumerName::new("bench")?,
        &rig::stream()?,
        StreamDecision::Replay,
        "bench",
        "again",
    ))?;
    let consumer = OrderedConsumer::new("bench", Nothing, log).with_limits(limits);
    rig::run(runtime, consumer, source, &slot).context("the consumer failed")
}

/// What people write without us: pull a batch, call the handler, settle the batch.
async fn bare(mut source: TimedSource, handler: impl Handler) -> anyhow::Result<()> {
    loop {
        match source.next().await? {
            SourceMessage::Assigned(streams) => {
                for stream in streams {
                    source.confirm(&stream.assignment).await?;
                }
            }
            SourceMessage::Events { assignment, deliveries } => {
                let mut events = Vec::with_capacity(deliveries.len());
                let watermark = deliveries.last().map(|delivery| delivery.event.index());
                for delivery in deliveries {
                    events.push((delivery.event.index(), delivery.receipt));
                    handler
                        .handle(delivery.event)
                        .await
                        .map_err(|error| anyhow::anyhow!(error.text().to_owned()))?;
                }
                source.settle(Settlement { assignment, events, held: Vec::new(), watermark });
            }
            SourceMessage::Ended => return Ok(source.close().await?),
            // The only assignment is kept to the end.
            SourceMessage::Revoked { .. } | SourceMessage::Settled { .. } | SourceMessage::Copies(_) | _ => {}
        }
    }
}
