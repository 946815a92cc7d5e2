//! Several processes that read one topic of a real broker, with one PostgreSQL: killed, stopped for longer than their
//! session, coming and going, while the broker is restarted: judged by what their handlers recorded.
#![cfg(feature = "services")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use ordered_consumer_tests::{
    kafka::KafkaTopic,
    kafka_server::KafkaServer,
    postgres::variable,
    processes::{kafka_team::KafkaTeam, recorded::Plan},
};

const EAGER: (&str, &str) = ("partition.assignment.strategy", "range");
/// The broker assigns, and says how long a session lasts.
const NEW_PROTOCOL: (&str, &str) = ("group.protocol", "consumer");
const COOPERATIVE: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");
/// Longer than a session, by so much that the broker has noticed.
const ZOMBIE: Duration = Duration::from_millis(8_500);

fn team(topic: KafkaTopic, plan: Plan, more: &[(&str, &str)], retry: bool) -> KafkaTeam {
    KafkaTeam::new(env!("CARGO_BIN_EXE_kafka-worker"), topic, plan, more, retry)
}

fn topic(partitions: i32) -> KafkaTopic {
    KafkaTopic::create(&variable("KAFKA_BOOTSTRAP_SERVERS"), partitions)
}

fn quick(seed: u64) -> Plan {
    Plan { seed, pause_below_ms: 40, ..Plan::default() }
}

fn kills_and_stops(seed: u64, assignor: (&str, &str), retry: bool) {
    let mut team = team(topic(6), quick(seed), &[assignor], retry);
    team.kill_and_stop(ZOMBIE);
    let verdict = team.finish();
    assert!(verdict.failures > 50 && verdict.runs >= 640, "too little happened: {verdict:?}");
}

#[test]
fn killed_and_stopped_readers_of_kafka_lose_and_overtake_nothing_with_cooperative_assignment() {
    kills_and_stops(1, COOPERATIVE, false);
}

#[test]
fn killed_and_stopped_readers_of_kafka_lose_and_overtake_nothing_with_eager_assignment() {
    kills_and_stops(2, EAGER, false);
}

#[test]
fn killed_and_stopped_readers_of_kafka_lose_and_overtake_nothing_with_the_new_group_protocol() {
    kills_and_stops(9, NEW_PROTOCOL, false);
}

#[test]
fn killed_and_stopped_readers_of_kafka_lose_and_overtake_nothing_through_the_retry_topic() {
    kills_and_stops(7, COOPERATIVE, true);
}

/// Every half second one joins or leaves, for so long as the environment says, or ten seconds.
fn storm(seed: u64, assignor: (&str, &str)) {
    let seconds = std::env::var("ORDERED_CONSUMER_STORM_SECONDS").map_or(10, |text| text.parse().unwrap());
    let mut team = team(topic(4), quick(seed), &[assignor], false);
    let changes = team.come_and_go(Duration::from_secs(seconds));
    let verdict = team.finish_with_repeats();
    assert!(changes >= 5 && verdict.runs > 50, "too little happened: {changes} changes, {verdict:?}");
}

#[test]
fn readers_of_kafka_that_come_and_go_every_half_second_lose_and_overtake_nothing_with_cooperative_assignment()
{
    storm(3, COOPERATIVE);
}

#[test]
fn readers_of_kafka_that_come_and_go_every_half_second_lose_and_overtake_nothing_with_eager_assignment() {
    storm(4, EAGER);
}

#[test]
fn a_broker_that_is_killed_and_comes_back_costs_no_event_and_no_order() {
    let server = KafkaServer::start();
    let mut team = team(KafkaTopic::create(&server.address, 4), quick(5), &[], false);
    team.join();
    team.join();
    for away in [true, false] {
        team.send(150, 12);
        let begun = team.successes();
        team.until("some are handled", |team| team.successes() > begun + 20);
        if away {
            server.run("restart");
        } else {
            server.run("stop");
            // What the processes have is handled meanwhile; nobody hears that it is.
            team.until_at_rest(Duration::from_secs(2));
            server.run("start");
        }
        team.trouble();
    }
    team.send(50, 12);
    let verdict = team.finish();
    assert!(verdict.failures > 20 && verdict.runs >= 350, "too little happened: {verdict:?}");
}

#[test]
fn a_handler_slower_than_the_poll_interval_keeps_its_membership() {
    // 12 s for one event, where 6 s without a poll cost the membership.
    let plan = Plan { slow: Some(("slow".to_owned(), Duration::from_secs(12))), ..quick(6) };
    team(topic(2), plan, &[("max.poll.interval.ms", "6000")], false).run_slowly();
}

#[test]
fn partitions_that_are_added_while_an_entity_is_gated_wait_until_the_old_ones_have_passed() {
    let marks = tempfile::tempdir().unwrap();
    let broken = marks.path().join("broken");
    std::fs::write(&broken, "").unwrap();
    let plan = Plan { hot: Some(("hot".to_owned(), broken.clone())), ..quick(8) };
    let mut team = team(topic(2), plan, &[], false);
    team.join();
    team.join();
    team.input.send(["hot"]);
    team.send(40, 12);
    team.until("the hot entity is gated, and no other", |team| team.gated() == 1 && team.successes() >= 40);
    team.input.grow(4);
    team.until("the new ones wait", |team| {
        let logs = team.logs();
        [2, 3].iter().all(|new| {
            let waits = format!("stream={} ", team.input.stream(*new));
            logs.lines().any(|line| line.contains(&waits) && line.contains("waits"))
        })
    });
    team.send(120, 24);
    let added =
        |text: &str| text.lines().filter(|line| line.contains("/2\"") || line.contains("/3\"")).count();
    assert_eq!(added(&team.recorded()), 0, "nothing of an added partition ran");
    std::fs::remove_file(broken).unwrap();
    let text_before = team.recorded();
    assert_eq!(added(&text_before), 0, "nothing of an added partition ran while the entity was gated");
    let sent = team.input.sent.keys().filter(|(stream, _)| stream.ends_with("/2") || stream.ends_with("/3"));
    assert!(sent.count() > 5, "too few events came to the added partitions");
    let verdict = team.finish();
    assert_eq!(verdict.duplicates, 0);
}
