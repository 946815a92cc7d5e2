//! How many statements a batch takes, whatever is in it.

use ordered_consumer::{
    BATCH_REQUESTS_MAX, FailureLog, FailureLogError, Request,
    gate::{Arrival, Input, Reply, Verdict},
};

use crate::support::{Bench, apply, arrive, consumer, event, fail, held, request, settings};

fn entities(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("entity {number}")).collect()
}

#[tokio::test]
async fn a_batch_of_holds_takes_three_statements() {
    let bench = Bench::new().await;
    let entities = entities(BATCH_REQUESTS_MAX);
    let failed: Vec<Request> = entities.iter().map(|entity| fail(event(entity.clone(), 1))).collect();
    apply(&bench.log, &failed).await;
    for (batch, length) in [1, 2, 3, 17, 499, 500].into_iter().enumerate() {
        let index = 2 + batch as u128;
        let holds: Vec<_> =
            entities.iter().take(length).map(|entity| arrive(event(entity.clone(), index))).collect();
        let before = bench.log.statements();
        let answers = apply(&bench.log, &holds).await.answers;
        assert_eq!(bench.log.statements() - before, 3, "a batch of {length}");
        assert!(answers.iter().all(|answer| answer.reply == Reply::Arrived(vec![Verdict::Held])));
    }
}

#[tokio::test]
async fn a_batch_of_first_failures_takes_three_statements() {
    let bench = Bench::new().await;
    // The consumer, a block of versions and the stream are written once.
    apply(&bench.log, &[fail(event("first", 1))]).await;
    let failed: Vec<_> = entities(500).into_iter().map(|entity| fail(event(entity, 1))).collect();
    let before = bench.log.statements();
    apply(&bench.log, &failed).await;
    assert_eq!(bench.log.statements() - before, 3);
}

#[tokio::test]
async fn a_batch_that_changes_nothing_only_loads() {
    let bench = Bench::new().await;
    apply(&bench.log, &[fail(event("e", 1))]).await;
    let before = bench.log.statements();
    apply(&bench.log, &[arrive(event("e", 1)), arrive(event("clear", 2))]).await;
    assert_eq!(bench.log.statements() - before, 1);
}

#[tokio::test]
async fn more_events_than_one_statement_takes_are_all_held_in_order() {
    let bench = Bench::new().await;
    let entities = entities(20);
    let failed: Vec<_> = entities.iter().map(|entity| fail(event(entity.clone(), 0))).collect();
    apply(&bench.log, &failed).await;
    let holds: Vec<_> = entities
        .iter()
        .map(|entity| {
            let events = (1..=501).map(|index| event(entity.clone(), index));
            let events = events.map(|event| Arrival { event, suspect: false }).collect();
            request(&event(entity.clone(), 0), Input::Arrive { events })
        })
        .collect();
    let answers = apply(&bench.log, &holds).await.answers;
    assert!(answers.iter().all(|answer| answer.reply == Reply::Arrived(vec![Verdict::Held; 501])));
    for entity in entities {
        let indexes = crate::support::indexes(&held(&bench.log, entity).await);
        assert_eq!(indexes, (0..=501).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn two_requests_for_one_gate_are_refused() {
    let bench = Bench::new().await;
    let twice = [arrive(event("e", 1)), arrive(event("e", 2))];
    let error = bench.log.apply(&consumer(), &settings(), &twice).await.unwrap_err();
    assert!(matches!(error, FailureLogError::Misused { .. }), "{error:?}");
}

#[tokio::test]
async fn looking_for_what_is_due_takes_no_lock_while_nothing_is() {
    let bench = Bench::new().await;
    apply(&bench.log, &[fail(event("e", 1))]).await;
    let mut stranger = bench.stranger().await;
    sqlx::query("begin immediate").execute(&mut stranger).await.unwrap();
    let due = bench.log.take_due(&consumer(), &settings(), 10).await.unwrap();
    assert!(due.taken.is_empty());
    assert_eq!(due.next_due_in, Some(std::time::Duration::from_secs(1)));
}
