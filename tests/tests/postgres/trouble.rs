//! Scenarios 34, 35 and 37: locks that others hold, sessions that are ended, decisions that lose, and odd values.

use std::time::Duration;

use bytes::Bytes;
use ordered_consumer::{
    Event, FailureLog, FailureLogError, Headers, Index, PostgresConnections, PostgresTimeouts,
    gate::{Failure, Input, Next, Reply},
};
use ordered_consumer_tests::postgres::TestSchema;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::support::{
    apply, arrive, claim, consumer, fail, held, key, one, request, settings, stream, try_apply,
};

/// Locks an entity's gate until the connection is closed.
async fn lock(schema: &TestSchema, entity: &str) -> sqlx::PgConnection {
    let mut stranger = schema.connection().await;
    let text =
        format!("begin; select 1 from {}.gate where entity = '{entity}'::bytea for update", schema.name);
    stranger.execute(AssertSqlSafe(text)).await.unwrap();
    stranger
}

/// Waits until so many sessions wait for a lock in the schema.
async fn wait_for_waiting(schema: &TestSchema, count: usize) {
    let waiting = format!(
        "select count(*)::text from pg_stat_activity where wait_event_type = 'Lock' \
         and pid in (select pid from pg_locks l join pg_class c on c.oid = l.relation \
         where c.relnamespace = '{}'::regnamespace)",
        schema.name
    );
    while schema.rows(&waiting).await[0].parse::<usize>().unwrap() < count {
        tokio::task::yield_now().await;
    }
}

// Scenario 34.
#[tokio::test]
async fn retries_that_use_up_their_connections_keep_neither_main_streams_nor_operators_waiting() {
    let schema = TestSchema::new();
    let log = schema.builder().connections(PostgresConnections::new(1, 1, 1)).connect().await.unwrap();
    apply(&log, &[fail("locked", 1)]).await;
    let stranger = lock(&schema, "locked").await;
    let retries: Vec<_> = (0..5)
        .map(|token| {
            let log = log.clone();
            tokio::spawn(async move { one(&log, claim("locked", 1, 1, token)).await })
        })
        .collect();
    wait_for_waiting(&schema, 1).await;
    apply(&log, &[fail("free", 1)]).await;
    assert_eq!(log.totals(&consumer()).await.unwrap().gated_entities, 2);
    assert!(retries.iter().all(|retry| !retry.is_finished()));
    stranger.close().await.unwrap();
    let mut granted = 0;
    for retry in retries {
        granted += usize::from(matches!(retry.await.unwrap(), Reply::Claimed(_)));
    }
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn a_lock_that_is_not_given_in_time_is_told_as_transient_and_nothing_is_written() {
    let schema = TestSchema::new();
    let timeouts = PostgresTimeouts::default().lock(Duration::from_millis(20));
    let log = schema.builder().timeouts(timeouts).connect().await.unwrap();
    apply(&log, &[fail("e", 1)]).await;
    let stranger = lock(&schema, "e").await;
    let error = try_apply(&log, &[fail("f", 1), arrive("e", 2)]).await.unwrap_err();
    assert!(matches!(error, FailureLogError::Unavailable { .. }), "{error:?}");
    assert_eq!(held(&log, "e").await, [1], "reads go on");
    stranger.close().await.unwrap();
    assert!(held(&log, "f").await.is_empty());
    apply(&log, &[fail("f", 1), arrive("e", 2)]).await;
    assert_eq!(held(&log, "e").await, [1, 2]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_given_up() {
    let schema = TestSchema::new();
    let timeouts = PostgresTimeouts::default().call(Duration::from_millis(200));
    let log = schema.builder().timeouts(PostgresTimeouts::default()).connect().await.unwrap();
    apply(&log, &[fail("e", 1)]).await;
    let hasty = schema.builder().timeouts(timeouts).connect().await.unwrap();
    let stranger = lock(&schema, "e").await;
    let error = try_apply(&hasty, &[arrive("e", 2)]).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    stranger.close().await.unwrap();
    assert!(try_apply(&log, &[arrive("e", 2)]).await.is_ok());
    assert_eq!(held(&log, "e").await, [1, 2]);
}

#[tokio::test]
async fn a_session_that_is_ended_in_the_middle_of_a_batch_writes_nothing_and_the_next_one_does() {
    let schema = TestSchema::new();
    let log = schema.builder().connect().await.unwrap();
    apply(&log, &[fail("e", 1)]).await;
    let stranger = lock(&schema, "e").await;
    let batch = {
        let log = log.clone();
        tokio::spawn(async move { try_apply(&log, &[fail("f", 1), arrive("e", 2)]).await })
    };
    wait_for_waiting(&schema, 1).await;
    schema
        .execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and pid in \
             (select pid from pg_locks l join pg_class c on c.oid = l.relation \
             where c.relnamespace = '{}'::regnamespace)",
            schema.name
        ))
        .await;
    let error = batch.await.unwrap().unwrap_err();
    assert!(matches!(error, FailureLogError::Unavailable { .. }), "{error:?}");
    stranger.close().await.unwrap();
    assert!(held(&log, "f").await.is_empty());
    apply(&log, &[fail("f", 1), arrive("e", 2)]).await;
    assert_eq!(held(&log, "e").await, [1, 2]);
}

#[tokio::test]
async fn sessions_that_have_been_ended_while_they_were_idle_are_replaced_unnoticed() {
    let mut schema = TestSchema::new();
    let role = schema.role().await;
    let log = schema.builder_at(&role).connect().await.unwrap();
    let end = format!(
        "select pg_terminate_backend(pid)::text from pg_stat_activity where usename = '{}_role'",
        schema.name
    );
    for round in 1..=3 {
        apply(&log, &[fail("e", round)]).await;
        held(&log, "e").await;
        assert!(schema.rows(&end).await.len() >= 2, "one for events, one for retries");
    }
    assert_eq!(held(&log, "e").await, [1, 2, 3]);
}

// Scenario 35.
#[tokio::test]
async fn a_deadlock_that_a_stranger_provokes_is_decided_anew() {
    let schema = TestSchema::new();
    let log = schema.builder().connect().await.unwrap();
    apply(&log, &[fail("a", 1), fail("b", 1)]).await;
    let mut stranger = lock(&schema, "b").await;
    stranger.execute("set local deadlock_timeout = '10s'").await.unwrap();
    let batch = {
        let log = log.clone();
        tokio::spawn(async move { try_apply(&log, &[arrive("a", 2), arrive("b", 2)]).await })
    };
    wait_for_waiting(&schema, 1).await;
    // The log's session finds the deadlock first, and gives way.
    let text = format!("select 1 from {}.gate where entity = 'a'::bytea for update", schema.name);
    stranger.execute(AssertSqlSafe(text)).await.unwrap();
    stranger.execute("rollback").await.unwrap();
    batch.await.unwrap().unwrap();
    assert_eq!((held(&log, "a").await, held(&log, "b").await), (vec![1, 2], vec![1, 2]));
}

#[tokio::test]
async fn a_decision_that_keeps_losing_is_made_a_bounded_number_of_times() {
    let schema = TestSchema::new();
    let log = schema.builder().connect().await.unwrap();
    apply(&log, &[fail("first", 1)]).await;
    // A sequence counts what is rolled back, too.
    schema
        .execute(
            "create sequence {schema}.tries; \
             create function {schema}.lose() returns trigger language plpgsql as $$ begin \
               perform nextval('{schema}.tries'); raise serialization_failure; end $$; \
             create trigger lose before insert on {schema}.event for each row execute function {schema}.lose()",
        )
        .await;
    let error = try_apply(&log, &[fail("e", 1)]).await.unwrap_err();
    assert!(matches!(error, FailureLogError::Unavailable { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(schema.rows("select last_value::text from {schema}.tries").await, ["6"]);
    schema.execute("drop trigger lose on {schema}.event").await;
    apply(&log, &[fail("e", 1)]).await;
}

#[tokio::test]
async fn any_bytes_are_kept_in_keys_ids_types_headers_payloads_and_texts() {
    let schema = TestSchema::new();
    let log = schema.builder().connect().await.unwrap();
    for (index, odd) in [&b"\0"[..], b"\\u0000", b"\\x00", b"\xff\xfe", b"'; drop table gate; --", b"%_"]
        .into_iter()
        .enumerate()
    {
        let headers: Headers = [("odd", Bytes::copy_from_slice(odd))].into_iter().collect();
        let event = Event::builder(stream(), Index::new(index as u128), Bytes::copy_from_slice(odd))
            .payload(Bytes::copy_from_slice(odd))
            .id(Bytes::copy_from_slice(odd))
            .event_type(Bytes::copy_from_slice(odd))
            .headers(headers)
            .build();
        let failure = Failure::new("a\0b", &String::from_utf8_lossy(odd));
        let next = Next::Retry(Duration::ZERO);
        let fail = Input::Fail { event: event.clone(), attempts: 1, failure, next };
        apply(&log, &[request(&event, fail)]).await;
        let all = (Index::MIN, Index::MAX);
        let kept =
            log.held_events(&consumer(), &key(event.entity().clone()), all, 10, u64::MAX).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].digest(), event.digest(), "{odd:?}");
        assert_eq!(kept[0].payload(), event.payload());
    }
}

#[tokio::test]
async fn a_batch_of_holds_or_of_failures_takes_three_statements_and_a_drained_one_five() {
    let schema = TestSchema::new();
    let log = schema.builder().connect().await.unwrap();
    apply(&log, &[fail("first", 1)]).await;
    let entities: Vec<String> = (0..500).map(|number| format!("entity {number}")).collect();
    let batches: [(u64, Vec<_>); 4] = [
        (3, entities.iter().map(|entity| fail(entity.clone(), 1)).collect()),
        (3, entities.iter().map(|entity| arrive(entity.clone(), 2)).collect()),
        // Every event is in the log, which is looked up.
        (2, entities.iter().map(|entity| arrive(entity.clone(), 2)).collect()),
        (3, (0..500).map(|token| claim(entities[token].clone(), 1, 1, token as u128)).collect()),
    ];
    for (statements, batch) in batches {
        let before = log.statements();
        apply(&log, &batch).await;
        assert_eq!(log.statements() - before, statements, "{:?}", batch[0].input);
    }
    let before = log.statements();
    let resolved: Vec<_> = (0..500_usize)
        .map(|number| {
            let token = ordered_consumer::gate::ClaimToken::new(number as u128);
            let next = Some(ordered_consumer::gate::ClaimToken::new(1_000 + number as u128));
            let input = Input::Resolve { token, in_process: true, next, ignored: None };
            ordered_consumer::Request { input, ..claim(entities[number].clone(), 1, 1, 0) }
        })
        .collect();
    apply(&log, &resolved).await;
    assert_eq!(log.statements() - before, 5);
    let before = log.statements();
    let due = log.take_due(&consumer(), &settings(), 10).await.unwrap();
    assert!(due.taken.len() <= 1 && log.statements() - before <= 4);
}
