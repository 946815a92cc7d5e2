//! One consumer on a real broker, whose topic, offsets or events are not what they were.
#![cfg(feature = "services")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ordered_consumer::{
    ConsumerName, Event, FailureLog, HandlerError, Limits, MemoryFailureLog, OrderedConsumer, RetryPolicy,
    StreamDecision, StreamName,
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_kafka::{KafkaConfig, KafkaSource};
use ordered_consumer_tests::{Running, eventually, kafka::KafkaTopic, postgres::variable};
use tokio::runtime::{Builder, Runtime};

type Ran = Arc<Mutex<Vec<(String, u64)>>>;

trait Judge: Fn(&str, u64) -> Result<(), HandlerError> + Send + Sync + 'static {}
impl<F: Fn(&str, u64) -> Result<(), HandlerError> + Send + Sync + 'static> Judge for F {}

/// A topic, and what outlives each consumer of it.
struct Stage {
    topic: KafkaTopic,
    log: FaultyFailureLog<MemoryFailureLog>,
    limits: Limits,
    runtime: Runtime,
    ran: Ran,
}

#[derive(Clone)]
struct Judged<J> {
    ran: Ran,
    judge: Arc<J>,
}

impl<J: Judge> ordered_consumer::Handler for Judged<J> {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let entity = String::from_utf8_lossy(event.entity()).into_owned();
        let index = u64::try_from(event.index().get())?;
        self.ran.lock().unwrap().push((entity.clone(), index));
        (self.judge)(&entity, index)
    }
}

impl Stage {
    fn new(partitions: i32) -> Self {
        Self {
            topic: KafkaTopic::create(&variable("KAFKA_BOOTSTRAP_SERVERS"), partitions),
            log: FaultyFailureLog::new(MemoryFailureLog::new()),
            limits: Limits::default(),
            runtime: Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
            ran: Ran::default(),
        }
    }

    fn start<J: Judge>(&self, judge: J) -> Running<Judged<J>> {
        let handler = Judged { ran: Arc::clone(&self.ran), judge: Arc::new(judge) };
        let policy = RetryPolicy::fixed(Duration::from_millis(20)).immediate(0).attempts_max(1_000_000);
        let consumer = OrderedConsumer::new("billing", handler, self.log.clone())
            .with_limits(self.limits.clone())
            .with_retry_policy(policy);
        let _inside = self.runtime.enter();
        Running::start(consumer, self.source())
    }

    fn source(&self) -> KafkaSource {
        let config = KafkaConfig::new(&self.topic.address, &self.topic.group)
            .set("session.timeout.ms", "6000")
            .set("max.poll.interval.ms", "6000")
            .set("heartbeat.interval.ms", "500");
        let builder = KafkaSource::builder(config, [&self.topic.name]);
        builder.commit_interval(Duration::from_millis(100)).subscribe().unwrap()
    }

    /// As [`eventually`], outside the runtime: what is asked may wait.
    fn until(&self, what: &str, so: impl FnMut() -> bool) {
        self.runtime.block_on(tokio::task::LocalSet::new().run_until(eventually(what, so)));
    }

    fn until_all_is_committed(&self) {
        let begin = Instant::now();
        while self.topic.lag() != Some(0) {
            assert!(begin.elapsed() < Duration::from_secs(90), "waited in vain until all is committed");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn run_all(&self) {
        let running = self.start(|_, _| Ok(()));
        self.until_all_is_committed();
        self.runtime.block_on(running.stop());
    }

    fn why_it_stops(&self) -> String {
        let running = self.start(|_, _| Ok(()));
        self.until("it stops", || !running.stopped_streams().is_empty());
        let stopped = running.stopped_streams();
        assert_eq!((stopped.len(), stopped[0].0.to_string()), (1, self.topic.stream(0)));
        self.runtime.block_on(running.stop());
        stopped[0].1.clone()
    }

    fn decide(&self, decision: StreamDecision) {
        let operator = ordered_consumer::Operator::new(
            Arc::new(self.log.clone()),
            ConsumerName::new("billing").unwrap(),
            "a test",
        );
        let stream = StreamName::new(self.topic.stream(0)).unwrap();
        self.runtime.block_on(operator.decide_stream(&stream, decision, "it is meant")).unwrap();
    }

    fn ran(&self) -> Vec<(String, u64)> {
        self.ran.lock().unwrap().clone()
    }
}

#[test]
fn a_topic_that_was_deleted_and_created_again_stops_until_an_operator_says_new_stream() {
    let mut stage = Stage::new(1);
    stage.topic.send(["a", "b", "a"]);
    stage.run_all();
    stage.topic.recreate(1);
    stage.topic.send(["a", "c"]);
    let why = stage.why_it_stops();
    assert!(why.contains("new stream") && why.contains("replay"), "{why}");
    assert_eq!(stage.ran().len(), 3, "nothing of the new topic was taken");
    stage.decide(StreamDecision::NewStream);
    stage.run_all();
    let new: BTreeSet<_> = stage.ran()[3..].iter().cloned().collect();
    assert_eq!(new, BTreeSet::from([("a".to_owned(), 0), ("c".to_owned(), 1)]));
}

#[test]
fn an_offset_that_was_reset_backwards_stops_until_an_operator_says_replay() {
    let mut stage = Stage::new(1);
    stage.topic.send(["a", "b", "a"]);
    stage.run_all();
    stage.topic.commit(0, 1, "");
    let why = stage.why_it_stops();
    assert!(why.contains("would deliver from index 1") && why.contains("replay"), "{why}");
    assert_eq!(stage.ran().len(), 3, "nothing ran again by itself");
    stage.decide(StreamDecision::Replay);
    stage.run_all();
    let again: BTreeSet<_> = stage.ran()[3..].iter().cloned().collect();
    assert_eq!(again, BTreeSet::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
}

#[test]
fn commit_metadata_that_somebody_else_wrote_is_as_if_it_were_absent() {
    let foreign = ["NO_METADATA", "oc1:AAAA", "oc9:whatever", "oc1:\u{1F980}", &"x".repeat(4_096)];
    let mut stage = Stage::new(1);
    let mut expected = vec![];
    for text in foreign {
        let next = u64::try_from(expected.len()).unwrap();
        stage.topic.commit(0, i64::try_from(next).unwrap(), text);
        stage.topic.send(["a", "b"]);
        stage.run_all();
        expected.extend([("a".to_owned(), next), ("b".to_owned(), next + 1)]);
        let mut ran = stage.ran();
        ran.sort_by_key(|(_, index)| *index);
        assert_eq!(ran, expected, "after {text:?}");
    }
}

#[test]
fn a_restart_repeats_only_what_was_running() {
    let mut stage = Stage::new(1);
    stage.topic.send(["slow"].into_iter().chain(std::iter::repeat_n("other", 200)));
    // The handler of one event never ends, so that the committed offset stays before all the others.
    let stuck = OrderedConsumer::new("billing", Stuck(Arc::clone(&stage.ran)), stage.log.clone());
    let source = stage.source();
    let other = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let task = other.spawn(async move { stuck.run(source).await });
    stage.until("all others are done", || stage.ran().len() == 201);
    let begin = Instant::now();
    while !stage.topic.committed(0).is_some_and(|(offset, text)| offset == 0 && text.len() > 4) {
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain for the metadata");
        std::thread::sleep(Duration::from_millis(50));
    }
    // As if the process had died.
    task.abort();
    other.shutdown_timeout(Duration::from_secs(10));
    stage.run_all();
    let again: BTreeSet<_> = stage.ran()[201..].iter().cloned().collect();
    assert_eq!(again, BTreeSet::from([("slow".to_owned(), 0)]));
}

struct Stuck(Ran);

impl ordered_consumer::Handler for Stuck {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let entity = String::from_utf8_lossy(event.entity()).into_owned();
        self.0.lock().unwrap().push((entity.clone(), u64::try_from(event.index().get())?));
        if entity == "slow" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[test]
fn ten_thousand_quiet_entities_of_a_topic_do_not_notice_a_hot_failing_one() {
    let mut stage = Stage::new(3);
    let quiet: Vec<String> = (0..10_000).map(|number| format!("q{number}")).collect();
    // One event of the hot entity before every hundred quiet ones.
    let all =
        quiet.chunks(100).flat_map(|chunk| ["hot"].into_iter().chain(chunk.iter().map(|entity| &**entity)));
    let all: Vec<String> = all.map(str::to_owned).collect();
    stage.topic.send(all);
    let running = stage.start(|entity, _| if entity == "hot" { Err("always".into()) } else { Ok(()) });
    // What fails for ever holds no offset back.
    stage.until_all_is_committed();
    let stats = running.stats();
    stage.runtime.block_on(running.stop());
    let ran = stage.ran();
    let hot: BTreeSet<u64> =
        ran.iter().filter(|(entity, _)| entity == "hot").map(|(_, index)| *index).collect();
    assert_eq!(hot.len(), 1, "only the first of the hot entity's events was run");
    assert_eq!(ran.iter().filter(|(entity, _)| entity != "hot").count(), 10_000, "each once");
    assert_eq!((stats.held, stats.outages), (99, 0));
}

#[test]
fn while_downstream_is_away_a_topic_is_paused_and_probed_and_then_drained() {
    let mut stage = Stage::new(2);
    let entities: Vec<String> = (0..3_000).map(|number| format!("e{number}")).collect();
    stage.topic.send(&entities);
    let away = Arc::new(AtomicBool::new(true));
    let is_away = Arc::clone(&away);
    let running = stage.start(move |_, _| {
        if is_away.load(Ordering::SeqCst) {
            return Err(HandlerError::unavailable("downstream is away"));
        }
        Ok(())
    });
    stage.until("both streams pause", || running.stats().outages == 2);
    // Longer than a session: it is paused, and still a member.
    let paused = Instant::now();
    let probed = stage.ran().len();
    while paused.elapsed() < Duration::from_secs(8) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(stage.ran().len() > probed, "it is probed");
    assert!(running.stats().retry_scheduled < 100, "{:?}", running.stats());
    assert!(stage.topic.lag() > Some(2_900), "the others wait with the broker");
    away.store(false, Ordering::SeqCst);
    stage.until_all_is_committed();
    stage.runtime.block_on(running.stop());
    let entities: BTreeSet<String> = stage.ran().into_iter().map(|(entity, _)| entity).collect();
    assert_eq!(entities.len(), 3_000);
}

/// Scenario 36, for as long as costs a membership twice over; ten minutes of it are in `log_outage.rs`.
#[test]
fn while_the_failure_log_is_away_no_offset_passes_what_needs_it_and_the_membership_stays() {
    let mut stage = Stage::new(2);
    stage.limits.uncommitted_max = 100;
    let failing = Arc::new(AtomicBool::new(true));
    let is_failing = Arc::clone(&failing);
    let running = stage.start(move |entity, _| {
        let fails = entity == "bad" && is_failing.load(Ordering::SeqCst);
        if fails { Err("not yet".into()) } else { Ok(()) }
    });
    stage.topic.send((0..20).map(|number| format!("e{number}")));
    stage.until_all_is_committed();
    stage.log.fail_randomly(1, 1, &[LogFault::Unavailable]);
    stage
        .topic
        .send(["bad"].into_iter().map(str::to_owned).chain((0..1_000).map(|number| format!("e{number}"))));
    let of_bad = stage.topic.sent.iter().find(|((_, entity), _)| entity == "bad").unwrap();
    let (beside, first) =
        (i32::from(of_bad.0.0.ends_with("/0")), i64::try_from(*of_bad.1.first().unwrap()).unwrap());
    let begin = Instant::now();
    let other_partition = |(offset, _): (i64, String)| {
        let sent = stage.topic.sent.iter().filter(|((stream, _), _)| *stream == stage.topic.stream(beside));
        offset == sent.map(|(_, indexes)| i64::try_from(indexes.len()).unwrap()).sum::<i64>()
    };
    while begin.elapsed() < Duration::from_secs(14) {
        let (offset, _) = stage.topic.committed(1 - beside).unwrap();
        assert!(
            offset <= first,
            "offset {offset} was committed, and {first} is neither handled nor in the log"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(stage.topic.committed(beside).is_some_and(other_partition), "the other partition flows on");
    let begun = i64::try_from(stage.ran().len()).unwrap();
    assert!(begun < 1_000, "the stream that waits for the failure log is paused: {begun} runs");
    stage.log.recover();
    failing.store(false, Ordering::SeqCst);
    stage.until_all_is_committed();
    stage.until("what failed has succeeded", || running.stats().resolved > 0);
    let name = ConsumerName::new("billing").unwrap();
    for partition in [0, 1] {
        let stream = StreamName::new(stage.topic.stream(partition)).unwrap();
        let record = stage.runtime.block_on(stage.log.stream(&name, &stream)).unwrap().unwrap();
        assert_eq!(record.generation, 1, "the partition was never lost");
    }
    stage.runtime.block_on(running.stop());
    let (ran, mut others) = (stage.ran(), stage.ran());
    others.retain(|(entity, _)| entity != "bad");
    assert_eq!(others.len(), 1_020, "each of the others once");
    assert!(ran.iter().filter(|(entity, _)| entity == "bad").count() >= 2, "the failed one was retried");
}
