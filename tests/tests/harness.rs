//! The harness for users' own handlers says what happened.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::time::Duration;

use ordered_consumer::{Event, RetryPolicy, testing::Harness};

async fn succeed(_: Event) -> Result<(), std::io::Error> {
    Ok(())
}

fn harness() -> Harness {
    Harness::start(succeed, RetryPolicy::fixed(Duration::from_secs(60)).attempts_max(3)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_event_that_always_fails_parks_its_entity_and_an_operator_releases_it_in_order() {
    let harness = harness();
    harness.fail_always("a", "1");
    for payload in ["1", "2", "3"] {
        harness.send("a", payload).unwrap();
        harness.send("b", payload).unwrap();
    }
    harness.come_to_rest().await.unwrap();
    harness.assert_handled("b", ["1", "2", "3"]);
    harness.assert_handled("a", [""; 0]);
    harness.assert_parked(["a"]).await.unwrap();
    assert_eq!(harness.runs("a").iter().map(|run| run.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    let told = harness.operator().explain("a").await.unwrap();
    assert!(told.contains("event 0 of stream events/0") && told.contains("2 later events wait"), "{told}");

    harness.let_succeed("a");
    let parked = harness.parked().await.unwrap();
    harness.operator().retry(&parked[0], "the test says so").await.unwrap();
    harness.come_to_rest().await.unwrap();
    harness.assert_handled("a", ["1", "2", "3"]);
    harness.assert_parked([""; 0]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_nth_run_fails_and_what_is_behind_it_waits() {
    let harness = harness();
    harness.fail_run("a", 2);
    for payload in ["1", "2", "3"] {
        harness.send("a", payload).unwrap();
    }
    harness.come_to_rest().await.unwrap();
    harness.assert_handled("a", ["1", "2", "3"]);
    let runs = harness.runs("a");
    assert_eq!(runs.iter().filter(|run| !run.ok).count(), 1, "{runs:?}");
    assert_eq!((runs.len(), runs[1].ok), (4, false), "{runs:?}");
}
