//! Released events of very many entities, through the retry topic and back, once what they need has recovered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{Event, Handler, HandlerError, Limits, OutagePolicy, RetryPolicy};
use tokio::runtime::Runtime;

use crate::{
    arms::{self, Samples},
    kafka_rig::{self, Ours, Topic},
    meter::Meter,
    process_use::cpu_nanos_with_ended,
    report::{Report, Target},
    sizes::Sizes,
};

const NAME: &str = "kafka-retry-topic";
const ARMS: usize = 2;
const RETRY_TOPIC: usize = 0;
/// Everything is in the log before the first retry is due.
const DELAY: Duration = Duration::from_secs(2);

/// Fails until what it needs has recovered.
struct Downstream {
    recovered: Arc<AtomicBool>,
    meter: Arc<Meter>,
}

impl Handler for Downstream {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        std::hint::black_box(&event);
        if !self.recovered.load(Ordering::Acquire) {
            return Err(anyhow::anyhow!("down").into());
        }
        self.meter.hit();
        Ok(())
    }
}

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = crate::rig::runtime()?;
    let topic = Topic::create(&runtime, "released")?;
    let (entities, each) = (sizes.kafka.released_entities, sizes.kafka.released_events_each);
    kafka_rig::fill(&topic, (0..entities * each).map(|number| number % entities))?;
    let mut rates: [Samples; ARMS] = Default::default();
    let mut cpu: [Samples; ARMS] = Default::default();
    arms::alternate::<ARMS, _>(
        sizes.rounds,
        |arm, _| run(&runtime, &topic, arm, entities * each),
        |arm, (rate, spent)| {
            rates[arm].push(rate);
            cpu[arm].push(spent);
        },
    )?;
    for (arm, way, target) in
        [(RETRY_TOPIC, "through the retry topic", Target::AtLeast(5_000.0)), (1, "in-process", Target::None)]
    {
        report.add(NAME, format!("released {way}, per second"), "events", &rates[arm], target);
        let what = format!("released {way}, CPU time per event, all threads of this process");
        report.add(NAME, what, "us", &cpu[arm], Target::None);
    }
    Ok(())
}

/// Everything fails or is held; then the entities come back, and the rate at which they do is measured.
fn run(runtime: &Runtime, topic: &Topic<'_>, arm: usize, events: usize) -> anyhow::Result<(f64, f64)> {
    let retry = if arm == RETRY_TOPIC { Some(Topic::create(runtime, "retry")?) } else { None };
    let (meter, recovered) = (Arc::new(Meter::new(1, events)), Arc::new(AtomicBool::new(false)));
    let handler = Downstream { recovered: Arc::clone(&recovered), meter: Arc::clone(&meter) };
    let ours = Ours::new(runtime, Limits::default())?;
    let mut consumer = ours
        .consumer(handler)?
        .with_retry_policy(RetryPolicy::fixed(DELAY))
        .with_outage_policy(OutagePolicy::off());
    if let Some(retry) = &retry {
        consumer = consumer.with_publisher(ours.publisher(retry)?);
    }
    let source = ours.source(&[topic], retry.as_ref())?;
    let done = Arc::clone(&meter);
    let spent = crate::rig::in_time(runtime, async move {
        let mut spent = 0.0;
        let measuring = async {
            while consumer.stats().retry_scheduled + consumer.stats().held < events as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            recovered.store(true, Ordering::Release);
            let before = cpu_nanos_with_ended();
            done.done().await;
            spent = (cpu_nanos_with_ended() - before) / events as f64 / 1e3;
        };
        consumer.run_until(source, measuring).await?;
        Ok(spent)
    })?;
    Ok((meter.rate()?, spent))
}
