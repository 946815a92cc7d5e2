//! What is written down: what an operator found and left behind, originals of edited events, and for how long.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Bench,
    bench::sound,
    entity::{Entity, assert_same_event},
};
use crate::{
    AuditLine, Event, Headers, Index, ParkCause, StreamDecision,
    gate::{Action, Next, Operation, OperatorRefusal, Reply, State},
};

fn edit(payload: Option<&'static str>) -> Action {
    let headers: Headers = [("edited", "yes")].into_iter().collect();
    Action::Edit { payload: payload.map(|payload| Bytes::from_static(payload.as_bytes())), headers }
}

async fn lines(bench: &Bench, entity: &Entity<'_>) -> Vec<AuditLine> {
    sound(bench.log.audit(&bench.consumer, Some(&entity.key), 100).await)
}

async fn last_line(bench: &Bench, entity: &Entity<'_>) -> AuditLine {
    match lines(bench, entity).await.into_iter().next() {
        Some(line) => line,
        None => panic!("the action has left no line"),
    }
}

async fn original(bench: &Bench, entity: &Entity<'_>, index: u128) -> Option<Event> {
    sound(bench.log.original(&bench.consumer, &entity.key, Index::new(index)).await)
}

/// What was there, and what is there now.
pub async fn the_audit_keeps_what_an_operator_found_and_left_behind(bench: &Bench) {
    let entity = bench.entity("e");
    entity.operated(Action::Pause).await;
    let paused = entity.the_gate().await;
    let line = last_line(bench, &entity).await;
    assert_eq!((line.audit.before, line.audit.after), (None, Some(paused.summary())));
    entity.operated(Action::Resume).await;
    let line = last_line(bench, &entity).await;
    assert_eq!((line.audit.before, line.audit.after), (Some(paused.summary()), None));
    entity.fill(&[u128::MAX - 1, u128::MAX]).await;
    entity.run(u128::MAX - 1, 1, 7).await;
    entity.fail_again(7, Next::Park(ParkCause::Exhausted)).await;
    let found = entity.the_gate().await;
    entity.operated(Action::Skip).await;
    let left = entity.the_gate().await;
    let line = last_line(bench, &entity).await;
    assert_eq!((line.audit.before, line.audit.after), (Some(found.summary()), Some(left.summary())));
    let before = line.audit.before.map(|before| (before.state, before.parked, before.attempts));
    assert_eq!(before, Some((State::Parked, Some(ParkCause::Exhausted), 2)));
    assert_eq!(line.audit.after.map(|after| after.head), Some(Some(Index::MAX)));
}

/// It found what it did not expect, and changed nothing.
pub async fn a_refused_action_leaves_a_line_with_what_was_there(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    let gate = entity.the_gate().await;
    let stale = Operation { version: gate.version + 1_000, ..entity.operation(Action::Skip).await };
    entity.operate_as(stale).await;
    let line = last_line(bench, &entity).await;
    assert_eq!(line.audit.outcome, Err(OperatorRefusal::Stale { current: gate.version }));
    assert_eq!((line.audit.before, line.audit.after), (Some(gate.summary()), Some(gate.summary())));
}

/// However often it is edited, and in every field.
pub async fn an_edit_keeps_the_event_as_it_first_came(bench: &Bench) {
    let entity = bench.entity("e");
    let came = entity.builder(5).event_type("paid").header("h", "1").header("h", "2").build();
    entity.fail_as(came.clone(), Next::Park(ParkCause::Permanent)).await;
    entity.arrive(&[6]).await;
    assert!(original(bench, &entity, 5).await.is_none(), "nothing was edited");
    for payload in [Some("once"), None, Some("thrice")] {
        entity.operated(edit(payload)).await;
        match original(bench, &entity, 5).await {
            Some(kept) => assert_same_event(&kept, &came),
            None => panic!("the original is not kept"),
        }
    }
    assert!(original(bench, &entity, 6).await.is_none());
    assert!(original(bench, &bench.entity("f"), 5).await.is_none());
    let refused = Operation { version: 1_000_000, ..entity.operation(edit(Some("late"))).await };
    entity.operate_as(refused).await;
    entity.run_and_resolve(5, 0).await;
    match original(bench, &entity, 5).await {
        Some(kept) => assert_same_event(&kept, &came),
        None => panic!("the original is gone with the event"),
    }
    let refused = Operation { version: 1_000_000, ..entity.operation(edit(Some("late"))).await };
    entity.operate_as(refused).await;
    assert!(original(bench, &entity, 6).await.is_none(), "a refused edit keeps nothing");
}

/// A stream that is handled again from its beginning has other events at the same places, or the same ones anew.
pub async fn an_event_that_comes_anew_has_an_original_of_its_own(bench: &Bench) {
    let entity = bench.entity("e");
    bench.take_over().await;
    entity.fill(&[1]).await;
    entity.operated(edit(Some("edited"))).await;
    entity.run_and_resolve(1, 0).await;
    let decided =
        bench.log.decide_stream(&bench.consumer, &bench.stream, StreamDecision::Replay, "ann", "why");
    sound(decided.await);
    let other = entity.impostor(1);
    entity.fail_as(other.clone(), Next::Park(ParkCause::Permanent)).await;
    entity.operated(edit(Some("edited again"))).await;
    match original(bench, &entity, 1).await {
        Some(kept) => assert_same_event(&kept, &other),
        None => panic!("the original is not kept"),
    }
}

/// A few at a time, the oldest first, and none that is young.
pub async fn lines_of_the_audit_are_dropped_when_they_are_old(bench: &Bench) {
    let entity = bench.entity("e");
    let other_consumer = bench.as_consumer("other");
    for number in 1..=3 {
        other_consumer.entity("e").operated(Action::Note).await;
        let why: Arc<str> = Arc::from(format!("note {number}"));
        entity.operate_as(Operation { why, ..entity.operation(Action::Note).await }).await;
        bench.advance_secs(10);
    }
    let drop_old = async |secs, limit| {
        sound(bench.log.drop_audit(&bench.consumer, Duration::from_secs(secs), limit).await)
    };
    let left = async || -> Vec<String> {
        lines(bench, &entity).await.iter().map(|line| line.audit.why.to_string()).collect()
    };
    assert_eq!(drop_old(30, 10).await, 0, "not older than that");
    assert_eq!(drop_old(5, 0).await, 0);
    assert_eq!(drop_old(5, 1).await, 1);
    assert_eq!(left().await, ["note 3", "note 2"]);
    assert_eq!(drop_old(15, 10).await, 1);
    assert_eq!(left().await, ["note 3"]);
    assert_eq!(drop_old(u64::MAX, 10).await, 0);
    assert_eq!(lines(&other_consumer, &entity).await.len(), 3, "another consumer's audit is its own");
}

/// For as long as the line is kept, a request that is made again is told what came of it; and no longer.
pub async fn a_request_is_remembered_for_as_long_as_its_line(bench: &Bench) {
    let entity = bench.entity("e");
    let request_id: Option<Arc<str>> = Some(Arc::from("r"));
    let pause = Operation { request_id, ..entity.operation(Action::Pause).await };
    let first = entity.operate_as(pause.clone()).await;
    assert!(matches!(first, Reply::Operated { .. }), "{first:?}");
    assert_eq!(entity.operate_as(pause.clone()).await, first);
    bench.advance_secs(10);
    assert_eq!(sound(bench.log.drop_audit(&bench.consumer, Duration::from_secs(1), 10).await), 1);
    let again = entity.operate_as(pause).await;
    assert!(matches!(again, Reply::OperatorRefused(OperatorRefusal::Stale { .. })), "{again:?}");
}

/// Without it nobody could say what the event was.
pub async fn the_original_of_a_held_event_outlives_the_audit(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    entity.operated(edit(Some("edited"))).await;
    bench.advance_secs(1_000);
    let drop_old = async || {
        sound(bench.log.drop_audit(&bench.consumer, Duration::from_secs(10), 10).await);
    };
    drop_old().await;
    assert!(lines(bench, &entity).await.is_empty());
    assert!(original(bench, &entity, 1).await.is_some(), "the event is held still");
    entity.run_and_resolve(1, 0).await;
    entity.run(2, 0, 9).await;
    drop_old().await;
    assert!(original(bench, &entity, 1).await.is_none(), "it is handled, and nobody remembers it");
}
