//! Several processes that read one FIFO queue of a real endpoint, with one PostgreSQL: killed, stopped for longer than the
//! visibility timeout, cut off, coming and going: judged by what their handlers recorded.
#![cfg(feature = "services")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{path::PathBuf, time::Duration};

use ordered_consumer_tests::{
    gateway::Gateway,
    postgres,
    processes::{
        recorded::Plan,
        sqs_team::{SqsTeam, Ways},
        team::Input as _,
    },
    sqs::SqsQueue,
};

const VISIBILITY: Duration = Duration::from_secs(5);
/// So much longer than it that what a process had is somebody else's.
const ZOMBIE: Duration = Duration::from_millis(6_500);

fn team(plan: Plan, retry: bool, ways: Ways) -> SqsTeam {
    let queue = SqsQueue::create(VISIBILITY);
    SqsTeam::new(env!("CARGO_BIN_EXE_sqs-worker"), queue, plan, retry, ways)
}

fn quick(seed: u64) -> Plan {
    Plan { seed, pause_below_ms: 40, ..Plan::default() }
}

/// Files by which a test tells handlers what to do.
struct Marks(tempfile::TempDir);

impl Marks {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn set(&self, name: &str) -> PathBuf {
        let file = self.0.path().join(name);
        std::fs::write(&file, "").unwrap();
        file
    }

    fn lift(&self, name: &str) {
        std::fs::remove_file(self.0.path().join(name)).unwrap();
    }
}

/// A team whose first process can be cut off from SQS, and whose handlers of `hot` wait, and then fail, while the marks say so.
fn team_to_cut_off(seed: u64, marks: &Marks) -> (SqsTeam, [Gateway; 2]) {
    let mark = |name| Some(("hot".to_owned(), marks.set(name)));
    let (waiting, hot) = (mark("waiting"), mark("hot"));
    let endpoint = postgres::variable("SQS_ENDPOINT_URL");
    let [(one, to_one), (other, to_other)] = [Gateway::to(&endpoint), Gateway::to(&endpoint)];
    let ways = Ways { endpoints: vec![to_one, to_other], ..Ways::default() };
    (team(Plan { waiting, hot, ..quick(seed) }, false, ways), [one, other])
}

/// How many runs of this entity have begun.
fn begun(team: &SqsTeam, entity: &str) -> usize {
    team.lines_with(&["\"began\"", &format!("\"entity\":\"{entity}\"")])
}

fn held(team: &SqsTeam) -> u64 {
    team.held().map_or(0, |totals| totals.held_events)
}

fn kills_and_stops(seed: u64, retry: bool) {
    let mut team = team(quick(seed), retry, Ways::default());
    team.kill_and_stop(ZOMBIE);
    let verdict = team.finish();
    assert!(verdict.failures > 50 && verdict.runs >= 640, "too little happened: {verdict:?}");
}

#[test]
fn killed_and_stopped_readers_of_sqs_lose_and_overtake_nothing() {
    kills_and_stops(1, false);
}

#[test]
fn killed_and_stopped_readers_of_sqs_lose_and_overtake_nothing_through_the_retry_queue() {
    kills_and_stops(2, true);
}

// Scenario 10: both have the event; the one that stood still is broken off as soon as it goes on.
#[test]
fn an_event_that_two_readers_of_sqs_have_at_once_is_broken_off_in_the_one_that_stood_still() {
    let marks = Marks::new();
    let waiting = Some(("slow".to_owned(), marks.set("waiting")));
    let mut team = team(Plan { waiting, ..quick(3) }, false, Ways::default());
    let stands_still = team.join();
    team.input.send(["slow", "slow", "e1"]);
    // What has succeeded and is not deleted when it stops would rightly run again.
    team.until("its handler runs, and nothing else", |team| {
        begun(team, "slow") == 1 && team.input.lag() == Some(2) && team.gated() == 0
    });
    team.join();
    team.stop_until(stands_still, |team, _| begun(team, "slow") == 2);
    let broken_off = ["\"failed\"", &format!("\"process\":{stands_still},"), "\"entity\":\"slow\""];
    team.until("it is broken off", |team| team.lines_with(&broken_off) == 1);
    marks.lift("waiting");
    let verdict = team.finish();
    assert_eq!((verdict.duplicates, verdict.overlaps), (0, 1), "{verdict:?}");
}

// Scenario 42. Nothing stands still here, so that the checker excuses no overlap.
#[test]
fn a_handler_whose_visibility_runs_out_ends_before_another_reader_of_sqs_begins() {
    let marks = Marks::new();
    let (mut team, [cut_off, _other]) = team_to_cut_off(4, &marks);
    marks.lift("hot");
    team.join();
    team.input.send(["hot", "hot", "e1"]);
    team.until("its handler runs, and nothing else", |team| {
        begun(team, "hot") == 1 && team.input.lag() == Some(2) && team.gated() == 0
    });
    team.join();
    cut_off.shut();
    team.until("another run has begun", |team| begun(team, "hot") == 2);
    marks.lift("waiting");
    team.until("the other process has done with it", |team| team.input.lag() == Some(0));
    cut_off.open();
    let verdict = team.finish();
    assert_eq!((verdict.duplicates, verdict.overlaps), (0, 0), "{verdict:?}");
}

#[test]
fn a_handler_slower_than_the_visibility_timeout_keeps_its_event_from_other_readers_of_sqs() {
    let plan = Plan { slow: Some(("slow".to_owned(), VISIBILITY + VISIBILITY / 2)), ..quick(5) };
    team(plan, false, Ways::default()).run_slowly();
}

// Scenario 11: the failure is logged, its delete never comes to SQS, and the event comes to another process.
#[test]
fn a_failed_event_that_comes_again_from_sqs_while_it_is_logged_is_done_with() {
    let marks = Marks::new();
    let (mut team, [cut_off, _other]) = team_to_cut_off(6, &marks);
    team.join();
    team.input.send(["hot"]);
    team.until("its handler runs", |team| begun(team, "hot") == 1);
    cut_off.shut();
    marks.lift("waiting");
    team.until("the failure is logged", |team| held(team) == 1);
    assert_eq!(team.input.lag(), Some(1), "it is not deleted");
    team.join();
    team.until("it comes again, and is done with", |team| team.input.lag() == Some(0));
    assert_eq!(held(&team), 1, "it is logged once, and not held behind itself");
    cut_off.open();
    marks.lift("hot");
    let verdict = team.finish();
    assert_eq!((verdict.runs, verdict.duplicates), (verdict.failures + 1, 0), "{verdict:?}");
}

// Scenarios 29 and 12: the deletes never come to SQS, so that all ten come again, once they were drained.
#[test]
fn of_ten_events_of_a_group_of_sqs_whose_first_fails_nine_are_held_and_all_are_known_when_they_come_again() {
    let marks = Marks::new();
    let (mut team, [cut_off, _other]) = team_to_cut_off(7, &marks);
    team.input.send(["hot"; 10]);
    team.join();
    team.until("the first one's handler runs", |team| begun(team, "hot") == 1);
    cut_off.shut();
    marks.lift("waiting");
    team.until("the first has failed, and nine are held", |team| held(team) == 10);
    let first = team.input.sent.values().next().unwrap().first().unwrap();
    let of_first = team.lines_with(&["\"began\"", &format!("\"index\":\"{first}\"")]);
    assert_eq!(begun(&team, "hot"), of_first, "nothing behind the first has begun");
    marks.lift("hot");
    team.until("they are drained", |team| team.successes() == 10 && team.gated() == 0);
    assert_eq!(team.input.lag(), Some(10), "nothing is deleted");
    team.join();
    team.until("they have come again", |team| team.input.lag() == Some(0));
    cut_off.open();
    let verdict = team.finish();
    assert_eq!((verdict.runs, verdict.duplicates), (verdict.failures + 10, 0), "{verdict:?}");
}

// Scenario 13. SQS itself would not deliver a deduplication id twice: the id is an attribute.
#[test]
fn two_events_of_sqs_with_the_same_id_and_different_payloads_are_both_handled() {
    let marks = Marks::new();
    let hot = Some(("hot".to_owned(), marks.set("hot")));
    let mut team = team(Plan { hot, ..quick(8) }, false, Ways::default());
    for (entity, id) in [("hot", "x"), ("e1", "y"), ("hot", "x"), ("e1", "y")] {
        team.input.send_with_id(entity, id);
    }
    team.join();
    team.join();
    team.until("both are logged", |team| held(team) == 2 && team.gated() == 1);
    marks.lift("hot");
    let verdict = team.finish();
    assert_eq!((verdict.runs, verdict.duplicates), (verdict.failures + 4, 0), "{verdict:?}");
}

// Scenario 28: another group would come back out of order, and unknown to whoever looks at the queue.
#[test]
fn copies_on_the_retry_queue_are_in_their_entitys_own_group() {
    let marks = Marks::new();
    let hot = Some(("hot".to_owned(), marks.set("hot")));
    let mut team = team(Plan { hot, ..quick(9) }, true, Ways::default());
    team.join();
    team.join();
    team.send(60, 12);
    team.input.send(["hot1", "hot2", "hot3", "hot1"]);
    for (entity, groups) in team.input.groups_of_copies(&["hot1", "hot2", "hot3"]) {
        assert!(groups.iter().all(|group| *group == entity), "copies of {entity} are in {groups:?}");
    }
    marks.lift("hot");
    let verdict = team.finish();
    assert_eq!(verdict.duplicates, 0, "{verdict:?}");
}

/// Three processes, and 250 events, for some of which a server is away.
fn away(mut team: SqsTeam, server: &Gateway) {
    for _ in 0..3 {
        team.join();
    }
    team.send(200, 12);
    team.until("some are handled", |team| team.successes() > 20);
    server.shut();
    team.send(50, 12);
    server.until_tried(3);
    let before = team.resident_bytes();
    team.input.padding = 50_000;
    team.send(800, 12);
    team.input.padding = 0;
    // Whatever was received before has run out by then.
    team.until_at_rest(ZOMBIE);
    let more = team.resident_bytes().saturating_sub(before);
    assert!(more < 16 << 20, "memory is to stay flat, and three processes took {more} bytes more");
    assert!(team.input.lag() > Some(0), "what is not done with is not deleted");
    // What ran meanwhile could not be written down, or deleted.
    team.trouble();
    server.open();
    let verdict = team.finish();
    assert!(verdict.failures > 20 && verdict.runs >= 250, "too little happened: {verdict:?}");
}

// Scenario 36.
#[test]
fn while_the_failure_log_is_away_sqs_keeps_what_is_not_handled_and_then_everything_drains() {
    let (log, address) = Gateway::to(&postgres::url());
    away(team(quick(10), false, Ways { postgres: Some(address), ..Ways::default() }), &log);
}

#[test]
fn while_sqs_is_away_for_longer_than_visibility_lasts_nothing_is_lost_and_then_everything_drains() {
    let (sqs, address) = Gateway::to(&postgres::variable("SQS_ENDPOINT_URL"));
    away(team(quick(11), true, Ways { endpoints: vec![address], ..Ways::default() }), &sqs);
}

// Scenario 43. Nobody dies here, so that the checker excuses nothing.
#[test]
fn readers_of_sqs_that_leave_in_the_middle_of_a_handler_or_a_drain_leave_nothing_half_done() {
    let marks = Marks::new();
    let (waiting, hot) =
        (Some(("slow".to_owned(), marks.set("waiting"))), Some(("hot".to_owned(), marks.set("hot"))));
    let slow = Some(("hot".to_owned(), Duration::from_millis(200)));
    let mut team = team(Plan { waiting, hot, slow, ..quick(12) }, false, Ways::default());
    let leaves = team.join();
    team.input.send(["slow", "slow", "slow", "e1"]);
    team.until("its handler runs", |team| begun(team, "slow") == 1);
    team.leave(leaves);
    let leaves = team.join();
    team.until("another begins it", |team| begun(team, "slow") == 2);
    marks.lift("waiting");
    team.input.send(["hot"; 30]);
    team.until("all of them are held, and nothing else", |team| held(team) == 30 && team.gated() == 1);
    let before = team.successes();
    marks.lift("hot");
    team.until("the drain has begun", |team| team.successes() > before + 2);
    team.leave(leaves);
    assert!(held(&team) > 0, "it left in the middle of the drain");
    team.join();
    let verdict = team.finish();
    assert_eq!((verdict.duplicates, verdict.overlaps), (0, 0), "{verdict:?}");
}

#[test]
fn readers_of_sqs_that_come_and_go_every_half_second_lose_overtake_and_repeat_nothing() {
    let mut team = team(quick(13), true, Ways::default());
    let changes = team.come_and_go(Duration::from_secs(10));
    let verdict = team.finish();
    assert!(changes >= 5 && verdict.runs > 50, "too little happened: {changes} changes, {verdict:?}");
}
