//! What operators do, and what they are told.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Bench,
    bench::sound,
    entity::{Entity, RETRY, arrival, assert_same_event},
};
use crate::{
    Headers, Index, ParkCause, Totals,
    gate::{Action, Next, Operation, OperatorRefusal, Reply, State, Verdict},
};

fn edit(payload: &'static str) -> Action {
    let headers: Headers = [("fixed-by", "ann"), ("fixed-by", "bob")].into_iter().collect();
    Action::Edit { payload: Some(Bytes::from_static(payload.as_bytes())), headers }
}

fn every_action() -> [Action; 10] {
    let discard = Action::DiscardThrough(Index::new(2));
    let void = Action::VoidConflict { index: Index::new(2), digest: None };
    let (park, pause, resume) = (Action::Park, Action::Pause, Action::Resume);
    [
        Action::Retry,
        park,
        Action::Skip,
        discard,
        edit("new"),
        pause,
        resume,
        void,
        Action::Mirror,
        Action::Note,
    ]
}

/// Whoever has not seen what the gate is now decides about something else.
pub async fn an_operator_who_has_not_seen_the_gate_as_it_is_is_refused(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    let seen = entity.operation(Action::Retry).await;
    entity.run(1, 1, 7).await;
    entity.fail_again(7, Next::Park(ParkCause::Exhausted)).await;
    let before = entity.the_gate().await;
    let stale = Reply::OperatorRefused(OperatorRefusal::Stale { current: before.version });
    for action in every_action() {
        assert_eq!(entity.operate_as(Operation { action: action.clone(), ..seen.clone() }).await, stale);
        let other_index = Operation { version: before.version, index: Some(Index::new(2)), ..seen.clone() };
        assert_eq!(entity.operate_as(Operation { action, ..other_index }).await, stale);
    }
    assert_eq!(entity.the_gate().await, before);
    let clear = bench.entity("clear").operate_as(seen).await;
    assert_eq!(clear, Reply::OperatorRefused(OperatorRefusal::Stale { current: 0 }));
}

/// The run may succeed at this moment; park and pause wait for it, the others would contradict it.
pub async fn while_the_head_runs_only_park_and_pause_are_taken(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    entity.run(1, 1, 7).await;
    let before = entity.the_gate().await;
    for action in [Action::Retry, Action::Skip, Action::DiscardThrough(Index::new(2)), edit("new")] {
        let running = Reply::OperatorRefused(OperatorRefusal::Running);
        assert_eq!(entity.operate(action).await, running);
    }
    assert_eq!(entity.the_gate().await, before);
    assert_eq!(entity.logged().await, [1, 2]);
    entity.operated(Action::Pause).await;
    entity.operated(Action::Park).await;
    assert_eq!(entity.the_gate().await.state(), State::Parked);
    assert!(matches!(entity.resolve(7, None).await.reply, Reply::Resolved(_)), "the run keeps its claim");
}

/// A page sent twice, or a lost answer: done once, and told the same.
pub async fn a_request_made_again_returns_its_first_outcome(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2, 3]).await;
    let named =
        |name: &str, operation: Operation| Operation { request_id: Some(Arc::from(name)), ..operation };
    let skip = named("'r_1%", entity.operation(Action::Skip).await);
    let first = entity.operate_as(skip.clone()).await;
    assert!(matches!(first, Reply::Operated { .. }), "{first:?}");
    let stale = named("r-2", Operation { version: 1_000_000, ..skip.clone() });
    let refused = entity.operate_as(stale.clone()).await;
    assert!(matches!(refused, Reply::OperatorRefused(OperatorRefusal::Stale { .. })), "{refused:?}");
    entity.run_and_resolve(2, 0).await;
    assert_eq!(entity.operate_as(skip).await, first);
    assert_eq!(entity.operate_as(stale).await, refused, "refusals are outcomes too");
    assert_eq!(entity.logged().await, [3]);
    assert_eq!(
        sound(bench.log.audit(&bench.consumer, None, 100).await).len(),
        2,
        "one line for each request"
    );
}

/// One name for an action on many entities: each of them is acted on.
pub async fn a_request_made_for_another_entity_is_another_request(bench: &Bench) {
    for name in ["e", "f"] {
        let entity = bench.entity(name);
        entity.fill(&[1]).await;
        let request_id = Some(Arc::from("all of them"));
        let skip = Operation { request_id, ..entity.operation(Action::Skip).await };
        assert!(matches!(entity.operate_as(skip).await, Reply::Operated { .. }));
        assert_eq!(entity.the_gate().await.state(), State::Cleared, "{name} is skipped");
    }
}

/// Given up by name: what is behind it flows on, and it does not come back.
pub async fn a_skipped_head_is_resolved_without_a_run(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2, 3, 4, 5]).await;
    entity.run(1, 1, 7).await;
    entity.fail_again(7, Next::Park(ParkCause::Exhausted)).await;
    entity.operated(Action::Skip).await;
    let gate = entity.the_gate().await;
    assert_eq!((gate.state(), gate.head, gate.attempts), (State::Waiting, Some(Index::new(2)), 0));
    assert_eq!((gate.released, gate.due_at), (Some(Index::new(4)), Some(bench.now().await)));
    assert_eq!((gate.first_failure, gate.held_events), (None, 4));
    assert_eq!(entity.arrive(&[1]).await, [Verdict::Duplicate]);
    assert_eq!(entity.logged().await, [2, 3, 4, 5]);
    entity.run_and_resolve(2, 0).await;
}

/// An event that has not come yet must not become a duplicate.
pub async fn a_discard_ends_with_the_last_logged_event(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[5, 7, 9]).await;
    let below = Reply::OperatorRefused(OperatorRefusal::BelowHead);
    assert_eq!(entity.operate(Action::DiscardThrough(Index::new(4))).await, below);
    entity.operated(Action::DiscardThrough(Index::new(8))).await;
    let gate = entity.the_gate().await;
    assert_eq!((gate.resolved, gate.head, gate.held_events), (Some(Index::new(7)), Some(Index::new(9)), 1));
    assert_eq!(entity.logged().await, [9]);
    entity.operated(Action::DiscardThrough(Index::MAX)).await;
    assert_eq!(entity.the_gate().await.resolved, Some(Index::new(9)));
    assert_eq!(entity.arrive(&[9, 10]).await, [Verdict::Duplicate, Verdict::Run]);
    assert_eq!(bench.totals().await, Totals::default());
}

/// What runs is the operator's; what is compared with redelivered copies stays the original's.
pub async fn an_edited_head_runs_as_edited_and_its_original_is_a_duplicate(bench: &Bench) {
    let entity = bench.entity("e");
    let original = entity.builder(1).event_type("paid").header("old", "header").build();
    entity.fail_as(original.clone(), Next::Park(ParkCause::Permanent)).await;
    entity.arrive(&[2]).await;
    entity.operated(edit("a much longer payload than it was before")).await;
    let gate = entity.the_gate().await;
    assert_eq!((gate.state(), gate.attempts, gate.due_at), (State::Waiting, 0, Some(bench.now().await)));
    assert_eq!(entity.arrive_as(original).await, [Verdict::Duplicate]);
    let edited = entity
        .builder(1)
        .event_type("paid")
        .header("fixed-by", "ann")
        .header("fixed-by", "bob")
        .payload("a much longer payload than it was before")
        .build();
    assert_same_event(&entity.run(1, 0, 7).await.1, &edited);
    assert_eq!(entity.logged().await, [1, 2]);
    entity.resolve(7, None).await;
    assert_same_event(&entity.run(2, 0, 8).await.1, &entity.event(2));
    entity.resolve(8, None).await;
    assert_eq!(bench.totals().await, Totals::default(), "the sums come out even after an edit");
}

/// A null value can be what repairs it.
pub async fn a_head_can_be_edited_to_no_payload(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    entity.operated(Action::Edit { payload: None, headers: Headers::default() }).await;
    let (_, event) = entity.run(1, 0, 7).await;
    assert_eq!((event.payload(), event.headers().len()), (None, 0));
    assert_eq!(event.id(), entity.event(1).id());
}

/// With its attempts counted anew, at once.
pub async fn a_retry_lets_a_parked_head_begin_anew(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    entity.run(1, 1, 7).await;
    entity.fail_again(7, Next::Park(ParkCause::Exhausted)).await;
    assert!(bench.take_entities(10).await.is_empty());
    entity.operated(Action::Retry).await;
    let gate = entity.the_gate().await;
    assert_eq!((gate.state(), gate.attempts, gate.released), (State::Waiting, 0, gate.head));
    assert_eq!(bench.take_entities(10).await, ["e"]);
    assert_eq!(entity.run(1, 0, 8).await.0.attempt, 1);
}

/// Nothing of the entity runs until it is resumed, and then in order.
pub async fn what_comes_to_a_paused_entity_is_held_until_it_is_resumed(bench: &Bench) {
    let entity = bench.entity("e");
    entity.operated(Action::Pause).await;
    assert_eq!(entity.the_gate().await.state(), State::Paused);
    assert_eq!(entity.arrive(&[1, 2]).await, [Verdict::Held, Verdict::Held]);
    let logged = entity.fail_as(entity.event(3), RETRY).await;
    assert_eq!(logged, crate::gate::Logged::Held);
    bench.advance_secs(1_000_000);
    assert!(bench.take_entities(10).await.is_empty());
    entity.operated(Action::Resume).await;
    let taken = bench.take_due(10).await.taken;
    let window = taken.first().map(|taken| (taken.taken.head.get(), taken.taken.released.get()));
    assert_eq!(window, Some((1, 3)));
    for index in 1..=3 {
        entity.run_and_resolve(index, 0).await;
    }
    assert_eq!(entity.arrive(&[4]).await, [Verdict::Run]);
}

/// The handler ran while the pause was made.
pub async fn a_failure_of_a_paused_entity_stays_parked(bench: &Bench) {
    let entity = bench.entity("e");
    entity.operated(Action::Pause).await;
    let logged = entity.fail(1).await;
    assert_eq!(logged, crate::gate::Logged::Parked(ParkCause::Operator));
    assert_eq!(entity.the_gate().await.state(), State::Parked);
    assert_eq!(entity.logged().await, [1]);
}

/// As if nothing had been: no row is left that would be asked for with every event.
pub async fn a_pause_that_held_nothing_leaves_nothing_behind(bench: &Bench) {
    let entity = bench.entity("e");
    entity.operated(Action::Pause).await;
    entity.operated(Action::Resume).await;
    assert_eq!(entity.gate().await, None);
    assert!(bench.entities(None, 10, false).await.is_empty());
    assert_eq!(entity.arrive(&[1]).await, [Verdict::Run]);
    let known = bench.entity("known");
    known.fill(&[4]).await;
    known.run_and_resolve(4, 1).await;
    known.operated(Action::Pause).await;
    known.operated(Action::Resume).await;
    assert_eq!(known.arrive(&[4]).await, [Verdict::Duplicate], "a tombstone outlives a pause");
}

/// There is nothing to act on, and the operator is told so.
pub async fn an_action_without_an_object_is_refused(bench: &Bench) {
    let entity = bench.entity("e");
    for action in [Action::Retry, Action::Park, Action::Skip, Action::DiscardThrough(Index::MAX), edit("x")] {
        assert_eq!(entity.operate(action).await, Reply::OperatorRefused(OperatorRefusal::NothingHeld));
    }
    assert_eq!(entity.operate(Action::Resume).await, Reply::OperatorRefused(OperatorRefusal::NotParked));
    assert_eq!(entity.gate().await, None);
}

async fn actions(bench: &Bench, entity: Option<&Entity<'_>>, limit: u32) -> Vec<(String, &'static str)> {
    let lines = sound(bench.log.audit(&bench.consumer, entity.map(|entity| &entity.key), limit).await);
    let name = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
    lines.iter().map(|line| (name(&line.key.entity), line.audit.action)).collect()
}

/// Who, what, why, when, and what came of it; the latest first.
pub async fn every_action_leaves_a_line_in_the_audit(bench: &Bench) {
    let (entity, other) = (bench.entity("e"), bench.entity("f"));
    entity.ask(arrival([entity.event(1)])).await;
    entity.fill(&[1, 2]).await;
    bench.advance_secs(9);
    let at = bench.now().await;
    let why: Arc<str> = Arc::from("it's \"why\"; \u{1F4A5} %_");
    let retry = Operation { why: Arc::clone(&why), ..entity.operation(Action::Retry).await };
    let Reply::Operated { version } = entity.operate_as(retry.clone()).await else {
        panic!("a waiting head can be retried")
    };
    let refused = entity.operate_as(retry).await;
    other.operated(Action::Pause).await;
    let lines = sound(bench.log.audit(&bench.consumer, Some(&entity.key), 10).await);
    let outcomes: Vec<_> = lines.iter().map(|line| line.audit.outcome).collect();
    assert_eq!(outcomes, [Err(OperatorRefusal::Stale { current: version }), Ok(version)]);
    assert_eq!(refused, Reply::OperatorRefused(OperatorRefusal::Stale { current: version }));
    for line in &lines {
        assert_eq!((line.at, &line.key), (at, &entity.key));
        assert_eq!((line.audit.action, line.audit.index), ("retry", Some(Index::new(1))));
        assert_eq!((&*line.audit.by, &line.audit.why, &line.audit.request_id), ("ann", &why, &None));
    }
    let [e, f] = [("e".to_owned(), "retry"), ("f".to_owned(), "pause")];
    assert_eq!(actions(bench, None, 10).await, [f.clone(), e.clone(), e.clone()]);
    assert_eq!(actions(bench, None, 2).await, [f, e.clone()]);
    assert_eq!(actions(bench, Some(&entity), 1).await, [e]);
}

/// Each by its own word, with the event that it was done to.
pub async fn the_audit_knows_every_action(bench: &Bench) {
    for (number, action) in every_action().into_iter().enumerate() {
        let entity = bench.entity(format!("e{number}"));
        entity.fill(&[1, 2]).await;
        entity.arrive_as(entity.impostor(2)).await;
        entity.operated(Action::Park).await;
        let second = matches!(action, Action::DiscardThrough(_) | Action::VoidConflict { .. });
        let index = if second { 2 } else { 1 };
        let request_id: Option<Arc<str>> = Some(Arc::from(format!("request {number}")));
        let operation = entity.operation(action.clone()).await;
        let reply = entity.operate_as(Operation { request_id: request_id.clone(), ..operation }).await;
        let Reply::Operated { version } = reply else { panic!("{action:?} is refused: {reply:?}") };
        let lines = sound(bench.log.audit(&bench.consumer, Some(&entity.key), 1).await);
        let line = lines.first().map(|line| {
            let audit = &line.audit;
            (audit.action, audit.index, audit.outcome, audit.request_id.clone())
        });
        assert_eq!(line, Some((action.as_str(), Some(Index::new(index)), Ok(version), request_id)));
    }
}
