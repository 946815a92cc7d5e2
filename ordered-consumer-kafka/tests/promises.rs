//! Promises of the source that the conformance suite does not know of, on a broker in this process.

#![expect(clippy::expect_used, clippy::panic, reason = "what helps the tests may end them")]

mod in_process;

use std::{net::TcpListener, time::Duration};

use in_process::{Broker, publish};
use ordered_consumer::{
    Assignment, Delivery, EventSource, Index, Lease, Settlement, SourceError, SourceMessage,
};
use ordered_consumer_kafka::{KafkaConfig, KafkaSource, KafkaSourceBuilder};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    message::{Header, OwnedHeaders},
    producer::FutureRecord,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tokio::time::timeout;

/// How long what must come is waited for.
const PATIENCE: Duration = Duration::from_secs(40);

/// A source and what it has said.
struct Engine {
    source: KafkaSource,
    assigned: Vec<(Assignment, Lease)>,
    events: Vec<(Assignment, Delivery)>,
    lost: Vec<Assignment>,
    unreadable: Vec<(Index, String)>,
}

impl Engine {
    fn new(builder: KafkaSourceBuilder) -> Self {
        let source =
            builder.commit_interval(Duration::from_millis(50)).subscribe().expect("it is subscribed");
        let (assigned, events, lost, unreadable) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { source, assigned, events, lost, unreadable }
    }

    /// Asks, and confirms and releases what it is asked for, until this holds.
    async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let said = timeout(PATIENCE, self.source.next()).await.expect("something is said");
            match said.expect("no failure") {
                SourceMessage::Assigned(streams) => {
                    for stream in streams {
                        let confirmed = self.source.confirm(&stream.assignment).await.expect("an answer");
                        assert!(confirmed.is_some());
                        self.assigned.push((stream.assignment, stream.lease.expect("a lease")));
                    }
                }
                SourceMessage::Revoked { assignments, lost } => {
                    for assignment in assignments {
                        self.source.release(&assignment);
                        if lost {
                            self.lost.push(assignment);
                        }
                    }
                }
                SourceMessage::Events { assignment, deliveries } => {
                    self.events.extend(deliveries.into_iter().map(|event| (assignment.clone(), event)));
                }
                SourceMessage::Unreadable { index, why, .. } => self.unreadable.push((index, why)),
                SourceMessage::Settled { .. } | SourceMessage::Copies(_) => {}
                SourceMessage::Ended | _ => panic!("the source has ended"),
            }
        }
    }

    async fn fails(&mut self) -> SourceError {
        loop {
            match timeout(PATIENCE, self.source.next()).await.expect("something is said") {
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    fn indexes(&self) -> Vec<u128> {
        self.events.iter().map(|(_, event)| event.event.index().get()).collect()
    }

    fn settle(&mut self, indexes: &[u64], watermark: Option<u64>) {
        let assignment = self.events[0].0.clone();
        let events = indexes.iter().map(|index| (Index::from(*index), 0)).collect();
        self.source.settle(Settlement {
            assignment,
            events,
            held: Vec::new(),
            watermark: watermark.map(Index::from),
        });
    }
}

/// One topic of one partition, with so many events of one entity.
async fn broker_with(events: usize) -> Broker {
    let broker = Broker::start();
    broker.create_topic("t", 1);
    let producer = broker.producer();
    for number in 0..events {
        publish(&producer, ("t", 0), "a", &number.to_string()).await;
    }
    broker
}

fn builder(broker: &Broker) -> KafkaSourceBuilder {
    KafkaSource::builder(broker.config("cooperative-sticky"), ["t"])
}

/// As an operator does while the group is empty.
fn commit(broker: &Broker, offset: i64, metadata: &str) {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker.address)
        .set("group.id", "g")
        .create()
        .expect("a consumer");
    let mut offsets = TopicPartitionList::new();
    let mut added = offsets.add_partition("t", 0);
    added.set_offset(Offset::Offset(offset)).expect("an offset");
    added.set_metadata(metadata);
    client.commit(&offsets, CommitMode::Sync).expect("it is committed");
}

#[tokio::test]
async fn an_offset_past_the_end_stops_the_stream_and_says_what_to_do() {
    let broker = broker_with(3).await;
    commit(&broker, 100, "");
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| !engine.unreadable.is_empty()).await;
    let (index, why) = engine.unreadable.remove(0);
    assert_eq!(index, Index::from(100u64));
    assert!(why.contains("ends at 3") && why.contains("is at 100") && why.contains("new stream"), "{why}");
    assert!(engine.events.is_empty());
    // Taken over again, it is looked at again.
    let (assignment, _) = engine.assigned[0].clone();
    assert!(engine.source.confirm(&assignment).await.expect("an answer").is_none());
    engine.until(|engine| engine.lost.contains(&assignment) && !engine.unreadable.is_empty()).await;
}

#[tokio::test]
async fn metadata_that_says_nothing_is_passed_over() {
    let broker = broker_with(3).await;
    commit(&broker, 1, "oc1:rubbish");
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| engine.events.len() == 2).await;
    assert_eq!(engine.indexes(), [1, 2]);
}

#[tokio::test]
async fn what_is_done_beyond_the_committed_offset_does_not_come_again() {
    let broker = broker_with(5).await;
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| engine.events.len() == 5).await;
    engine.settle(&[0, 2, 3], Some(0));
    engine.source.close().await.expect("it closes");
    let mut next = Engine::new(builder(&broker));
    next.until(|engine| engine.events.len() == 2).await;
    assert_eq!(next.indexes(), [1, 4]);
}

/// Settles three of five and has the assignment confirmed again at once, as an engine does whose lease has run out, while so
/// many commits are refused: tells what came, again included.
async fn confirmed_again_with_three_of_five_settled(refusals: usize, come: usize) -> Vec<u128> {
    let broker = broker_with(5).await;
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| engine.events.len() == 5).await;
    broker.order(move |cluster| {
        let refused = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS; refusals];
        cluster.request_errors(RDKafkaApiKey::OffsetCommit, &refused);
    });
    engine.settle(&[0, 1, 2], Some(2));
    let (assignment, _) = engine.assigned[0].clone();
    assert!(engine.source.confirm(&assignment).await.expect("an answer").is_some());
    engine.until(|engine| engine.events.len() >= come).await;
    engine.indexes()
}

#[tokio::test]
async fn what_is_settled_is_committed_before_its_assignment_is_confirmed_again() {
    assert_eq!(confirmed_again_with_three_of_five_settled(0, 7).await, [0, 1, 2, 3, 4, 3, 4]);
}

#[tokio::test]
async fn what_is_settled_is_committed_before_its_assignment_is_confirmed_again_even_if_the_group_is_changing()
{
    assert_eq!(confirmed_again_with_three_of_five_settled(3, 7).await, [0, 1, 2, 3, 4, 3, 4]);
}

#[tokio::test]
async fn a_confirmation_waits_five_seconds_at_most_for_what_is_settled_to_be_committed() {
    // One every 200 ms, for longer than that: the settled ones come again, and nothing is stuck.
    assert_eq!(confirmed_again_with_three_of_five_settled(35, 10).await, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_dropped_source_has_committed_nothing_that_was_not_due() {
    let broker = broker_with(2).await;
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| engine.events.len() == 2).await;
    engine.settle(&[0, 1], Some(1));
    drop(engine);
    // What is settled may be committed in the moment before; what is not comes again.
    let producer = broker.producer();
    publish(&producer, ("t", 0), "a", "2").await;
    let mut next = Engine::new(builder(&broker));
    next.until(|engine| engine.indexes().last() == Some(&2)).await;
}

#[tokio::test]
async fn an_event_without_a_key_stops_its_stream_behind_what_came_before() {
    let broker = broker_with(2).await;
    let producer = broker.producer();
    let record = FutureRecord::<(), _>::to("t").partition(0).payload("no key");
    producer.send(record, PATIENCE).await.expect("it is published");
    publish(&producer, ("t", 0), "a", "behind").await;
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| !engine.unreadable.is_empty()).await;
    assert_eq!(engine.indexes(), [0, 1]);
    assert_eq!(engine.unreadable[0].0, Index::from(2u64));
}

#[tokio::test]
async fn a_broker_that_is_away_at_the_beginning_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port").to_string();
    drop(listener);
    let config = KafkaConfig::new(address, "g");
    let mut source = KafkaSource::subscribe(config, ["t"]).expect("it goes on trying");
    let said = timeout(PATIENCE, source.next()).await.expect("it says so");
    assert!(matches!(said, Err(SourceError::Unavailable(_))), "{said:?}");
}

#[tokio::test]
async fn after_an_outage_of_the_broker_reading_goes_on_where_it_was() {
    let broker = broker_with(2).await;
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| engine.events.len() == 2).await;
    broker.order(|cluster| cluster.broker_down(1)).expect("it is down");
    assert!(matches!(engine.fails().await, SourceError::Unavailable(_)));
    broker.order(|cluster| cluster.broker_up(1)).expect("it is up");
    publish(&broker.producer(), ("t", 0), "a", "2").await;
    engine.until(|engine| engine.indexes().last() == Some(&2)).await;
}

#[tokio::test]
async fn a_topic_that_is_missing_at_the_beginning_is_a_reason_to_stop() {
    let broker = Broker::start();
    broker.create_topic("other", 1);
    broker
        .order(|cluster| cluster.topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART))
        .expect("it is missing");
    let mut engine = Engine::new(builder(&broker).missing_topic_grace(Duration::from_millis(100)));
    let failed = engine.fails().await;
    let SourceError::Fatal { why, .. } = failed else { panic!("{failed}") };
    assert!(why.contains("there is no topic t"), "{why}");
}

#[tokio::test]
async fn a_client_that_may_not_be_a_member_is_told_of_which_group() {
    let broker = broker_with(0).await;
    broker.order(|cluster| {
        let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 50];
        cluster.request_errors(RDKafkaApiKey::JoinGroup, &refused);
    });
    let failed = Engine::new(builder(&broker)).fails().await;
    let SourceError::Fatal { why, .. } = failed else { panic!("{failed}") };
    assert!(why.contains("member of the group g"), "{why}");
}

#[tokio::test]
async fn a_client_that_may_not_read_a_topic_is_told_what_to_allow() {
    let broker = broker_with(0).await;
    broker
        .order(|cluster| {
            cluster.topic_error("t", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        })
        .expect("it is refused");
    let failed = Engine::new(builder(&broker)).fails().await;
    let SourceError::Fatal { why, .. } = failed else { panic!("{failed}") };
    assert!(why.contains("may not read a topic of t") && why.contains("allow READ"), "{why}");
}

/// What tells copies from events is the offset: the same id does not make the second a copy of the first.
#[tokio::test]
async fn two_records_with_the_same_event_id_are_two_events() {
    let broker = broker_with(0).await;
    let producer = broker.producer();
    for payload in ["one", "another"] {
        let id = OwnedHeaders::new().insert(Header { key: "ce_id", value: Some("17") });
        let id = id.insert(Header { key: "ce_type", value: Some("order.paid") });
        let id = id.insert(Header { key: "ce_specversion", value: Some("1.0") });
        let record = FutureRecord::to("t").partition(0).key("a").payload(payload).headers(id);
        producer.send(record, PATIENCE).await.expect("it is published");
    }
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| engine.events.len() == 2).await;
    let ids = engine.events.iter().map(|(_, event)| event.event.id().expect("an id").to_vec());
    assert_eq!(ids.collect::<Vec<_>>(), [b"17", b"17"]);
    let payloads = engine.events.iter().map(|(_, event)| event.event.payload().expect("a payload").to_vec());
    assert_eq!(payloads.collect::<Vec<_>>(), [&b"one"[..], b"another"]);
}

#[tokio::test]
async fn a_lost_assignment_ends_its_lease_and_comes_again_under_another_epoch() {
    let broker = broker_with(2).await;
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| engine.events.len() == 2).await;
    let (first, lease) = engine.assigned[0].clone();
    assert!(!lease.remaining().is_zero());
    broker.order(|cluster| {
        let unknown = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID];
        cluster.request_errors(RDKafkaApiKey::Heartbeat, &unknown);
    });
    engine.until(|engine| !engine.lost.is_empty()).await;
    assert_eq!(engine.lost, std::slice::from_ref(&first));
    assert!(lease.remaining().is_zero());
    engine.until(|engine| engine.events.len() == 4).await;
    assert_eq!(engine.indexes(), [0, 1, 0, 1]);
    assert_ne!(engine.events[3].0, first);
}

#[tokio::test]
async fn a_confirmation_that_meets_a_rebalance_is_answered_once_it_is_over() {
    let broker = broker_with(1).await;
    broker.order(|cluster| {
        let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS; 3];
        cluster.request_errors(RDKafkaApiKey::OffsetCommit, &refused);
    });
    let mut engine = Engine::new(builder(&broker));
    engine.until(|engine| engine.events.len() == 1).await;
}

#[tokio::test]
async fn more_than_the_buffer_holds_comes_whole_and_in_order() {
    let broker = broker_with(600).await;
    let mut engine = Engine::new(builder(&broker).buffer(1, 1));
    engine.until(|engine| engine.events.len() == 600).await;
    assert_eq!(engine.indexes(), (0..600).collect::<Vec<u128>>());
}

#[tokio::test]
async fn a_partition_without_a_committed_offset_stops_where_that_is_an_error() {
    let broker = broker_with(1).await;
    let config = broker.config("cooperative-sticky").set("auto.offset.reset", "none");
    let builder = KafkaSource::builder(config, ["t"]);
    let mut source = builder.subscribe().expect("it is subscribed");
    let SourceMessage::Assigned(streams) =
        timeout(PATIENCE, source.next()).await.expect("in time").expect("no failure")
    else {
        panic!("nothing is assigned")
    };
    let answer = timeout(PATIENCE, source.confirm(&streams[0].assignment)).await.expect("in time");
    let Err(SourceError::Fatal { why, .. }) = answer else { panic!("{answer:?}") };
    assert!(why.contains("no committed offset for t/0"), "{why}");
}
