//! Members come, go, die and are fenced in every order, and nothing is lost.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use ordered_consumer::{
    Assignment, EventSource, Index, Settlement, SourceMessage, StreamName,
    in_memory_broker::{GroupOptions, InMemoryBroker, InMemorySource},
};

const EVENTS: u32 = 400;
const PARTITIONS: u32 = 5;

/// Numbers that look random and are the same in every run with the same seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// A member that settles what it gets, some time later, and never more than it got.
struct Worker {
    source: InMemorySource,
    got: BTreeMap<u64, (Assignment, Index)>,
    last: BTreeMap<u64, u128>,
}

/// Every index that was delivered, by stream.
#[derive(Default)]
struct Seen {
    delivered: BTreeMap<StreamName, Vec<u128>>,
}

/// Nothing is left out: a batch goes on where its assignment's last one ended, and the first begins at or before the
/// first event that is not settled.
fn assert_nothing_skipped(
    broker: &InMemoryBroker,
    last: Option<u128>,
    stream: &StreamName,
    indexes: &[u128],
) {
    let first = indexes[0];
    assert!(indexes.iter().copied().eq((first..).take(indexes.len())), "{indexes:?}");
    match last {
        Some(last) => assert_eq!(first, last + 1),
        None => assert!(first <= broker.committed("g", stream).map_or(0, |done| done.get() + 1)),
    }
}

impl Worker {
    fn join(broker: &InMemoryBroker) -> Self {
        let source = broker.subscribe("g", &["t"]).unwrap();
        Self { source, got: BTreeMap::new(), last: BTreeMap::new() }
    }

    fn step(&mut self, broker: &InMemoryBroker, seen: &mut Seen, random: &mut Seeded) {
        let Some(message) = self.source.next().now_or_never() else { return };
        match message {
            Ok(SourceMessage::Assigned(streams)) => {
                for stream in streams {
                    self.source.confirm(&stream.assignment).now_or_never().unwrap().unwrap();
                }
            }
            Ok(SourceMessage::Revoked { assignments, lost }) => {
                for assignment in assignments {
                    if random.below(2) == 0 {
                        self.settle(assignment.epoch);
                    }
                    self.got.remove(&assignment.epoch);
                    if !lost {
                        self.source.release(&assignment);
                    }
                }
            }
            Ok(SourceMessage::Events { assignment, deliveries }) => {
                let indexes: Vec<u128> = deliveries.iter().map(|one| one.event.index().get()).collect();
                let last = deliveries.last().unwrap().event.index();
                let before = self.last.insert(assignment.epoch, last.get());
                assert_nothing_skipped(broker, before, &assignment.stream, &indexes);
                seen.delivered.entry(assignment.stream.clone()).or_default().extend(indexes);
                self.got.insert(assignment.epoch, (assignment, last));
            }
            Ok(SourceMessage::Copies(_) | SourceMessage::Settled { .. } | SourceMessage::Ended | _)
            | Err(_) => {}
        }
    }

    fn settle(&mut self, epoch: u64) {
        if let Some((assignment, last)) = self.got.remove(&epoch) {
            self.source.settle(Settlement {
                assignment,
                events: Vec::new(),
                held: Vec::new(),
                watermark: Some(last),
            });
        }
    }
}

fn broker() -> InMemoryBroker {
    let broker = InMemoryBroker::new();
    broker.create_topic("t", PARTITIONS).unwrap();
    broker.create_group("g", GroupOptions { batch_max: 7, ..Default::default() });
    broker
}

fn disturb(broker: &InMemoryBroker, workers: &mut Vec<Worker>, random: &mut Seeded) {
    match random.below(60) {
        0 if workers.len() < 6 => workers.push(Worker::join(broker)),
        1 if !workers.is_empty() => drop(workers.swap_remove(random.below(workers.len()))),
        2 if !workers.is_empty() => {
            let mut leaving = workers.swap_remove(random.below(workers.len()));
            leaving.source.close().now_or_never().unwrap().unwrap();
        }
        3 if !workers.is_empty() => {
            let member = workers[random.below(workers.len())].source.member();
            let stream = StreamName::new(format!("t/{}", random.below(5))).unwrap();
            // Whether it owns that stream is chance.
            let _ = broker.force_lose(member, &stream, std::time::Duration::from_secs(1));
        }
        4 => {
            let stream = StreamName::new(format!("t/{}", random.below(5))).unwrap();
            // Whether the group knows it yet, and something is there, is chance.
            let _ = broker.redeliver("g", &stream, Index::MIN);
        }
        _ if workers.is_empty() => workers.push(Worker::join(broker)),
        _ => {}
    }
}

async fn storm(seed: u64) {
    let (broker, mut random, mut seen) = (broker(), Seeded(seed), Seen::default());
    let mut workers: Vec<Worker> = Vec::new();
    let mut published = 0;
    for _ in 0..4_000 {
        if published < EVENTS && random.below(4) == 0 {
            broker.publish("t", format!("entity-{}", random.below(50)), "p").unwrap();
            published += 1;
        }
        tokio::time::advance(std::time::Duration::from_millis(50)).await;
        disturb(&broker, &mut workers, &mut random);
        if workers.is_empty() {
            continue;
        }
        let worker = random.below(workers.len());
        workers[worker].step(&broker, &mut seen, &mut random);
        if random.below(3) == 0 {
            let epochs: Vec<u64> = workers[worker].got.keys().copied().collect();
            epochs.into_iter().for_each(|epoch| workers[worker].settle(epoch));
        }
    }
    drop(workers);
    broker.close_topic("t").unwrap();
    let mut last = Worker::join(&broker);
    while broker.lag("g") > 0 {
        let before = broker.lag("g");
        for _ in 0..20 {
            last.step(&broker, &mut seen, &mut random);
            let epochs: Vec<u64> = last.got.keys().copied().collect();
            epochs.into_iter().for_each(|epoch| last.settle(epoch));
        }
        assert!(broker.lag("g") < before, "seed {seed}: nothing more comes, and {before} are left");
    }
    let mut distinct = 0;
    for indexes in seen.delivered.values_mut() {
        indexes.sort_unstable();
        indexes.dedup();
        distinct += indexes.len();
    }
    assert_eq!(distinct, usize::try_from(published).unwrap(), "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_rebalances_loses_no_event() {
    for seed in 0..40 {
        storm(seed).await;
    }
}
