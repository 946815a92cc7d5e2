//! Every value that can come is kept as it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ordered_consumer::{
    Event, FailureLog, Headers, Index, StreamName,
    gate::{Grant, Reply, StreamRecord, TakeOver},
};

use crate::support::{
    Bench, apply, arrive, claim, consumer, event, fail, held, indexes, key, listed, one, settings, stream,
};

/// Everything about an event that a log must give back.
type Fields = (
    Index,
    Bytes,
    Option<Bytes>,
    Option<Bytes>,
    Vec<(Bytes, Option<Bytes>)>,
    Option<Bytes>,
    Option<SystemTime>,
);

fn fields(event: &Event) -> Fields {
    let headers = event.headers().iter().map(|(name, value)| (name.clone(), value.cloned())).collect();
    let (index, entity) = (event.index(), event.entity().clone());
    let (id, event_type) = (event.id().cloned(), event.event_type().cloned());
    (index, entity, id, event_type, headers, event.payload().cloned(), event.time())
}

#[tokio::test]
async fn any_bytes_come_back_as_they_went_in() {
    let bench = Bench::new().await;
    let odd = Bytes::from_static(b"\0\xff'; drop table event; -- %_\xc3\x28\0");
    let mut headers = Headers::default();
    headers.push(odd.clone(), Some(odd.clone()));
    headers.push(odd.clone(), None);
    headers.push(Bytes::new(), Some(Bytes::new()));
    let time = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    let full = Event::builder(stream(), Index::new(1), odd.clone())
        .id(odd.clone())
        .event_type(odd.clone())
        .headers(headers)
        .payload(odd.clone())
        .time(time)
        .build();
    let empty =
        Event::builder(stream(), Index::new(2), odd.clone()).id("").event_type("").payload("").build();
    let before_1970 = UNIX_EPOCH - Duration::new(1_000, 1);
    let null = Event::builder(stream(), Index::new(3), odd.clone()).time(before_1970).build();
    apply(&bench.log, &[fail(full.clone())]).await;
    apply(&bench.log, &[arrive(empty.clone())]).await;
    apply(&bench.log, &[arrive(null.clone())]).await;
    let kept = held(&bench.log, odd.clone()).await;
    assert_eq!(kept.iter().map(fields).collect::<Vec<_>>(), [fields(&full), fields(&empty), fields(&null)]);
    let gated = bench.log.gated_entities(&consumer(), &stream(), None, 10, false).await.unwrap();
    assert_eq!(gated, [odd]);
}

#[tokio::test]
async fn names_of_streams_and_consumers_are_values_and_never_sql() {
    let bench = Bench::new().await;
    let stream = StreamName::new("'; drop table gate; --%_\"").unwrap();
    let event = Event::builder(stream.clone(), Index::new(1), "e").build();
    apply(&bench.log, &[fail(event)]).await;
    let gated = bench.log.gated_entities(&consumer(), &stream, None, 10, false).await.unwrap();
    assert_eq!(gated, [Bytes::from_static(b"e")]);
}

#[tokio::test]
async fn indexes_sort_as_numbers_up_to_the_highest() {
    let bench = Bench::new().await;
    let ordered = [0, 9, 10, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX - 1, u128::MAX];
    apply(&bench.log, &[fail(event("e", 0))]).await;
    for index in &ordered[1..] {
        one(&bench.log, arrive(event("e", *index))).await;
    }
    assert_eq!(indexes(&held(&bench.log, "e").await), ordered);
    let highest = (Index::MAX, Index::MAX);
    let last = bench.log.held_events(&consumer(), &key("e"), highest, 10, 0).await.unwrap();
    assert_eq!(indexes(&last), [u128::MAX]);
}

#[tokio::test]
async fn no_more_bytes_are_read_than_asked_for_beyond_the_first() {
    let bench = Bench::new().await;
    let size = event("e", 1).size() as u64;
    apply(&bench.log, &[fail(event("e", 1))]).await;
    for index in 2..=5 {
        one(&bench.log, arrive(event("e", index))).await;
    }
    let all = (Index::MIN, Index::MAX);
    for (bytes_max, expected) in [(0, 1), (size - 1, 1), (size, 2), (3 * size, 4), (u64::MAX, 5)] {
        let events = bench.log.held_events(&consumer(), &key("e"), all, 10, bytes_max).await.unwrap();
        assert_eq!(events.len(), expected, "{bytes_max} bytes");
    }
}

#[tokio::test]
async fn numbers_past_what_sqlite_calls_an_integer_stay_what_they_are() {
    let bench = Bench::new().await;
    for uncommitted_max in [(1 << 63) - 1, 1 << 63, u64::MAX] {
        let seen = bench.log.stream(&consumer(), &stream()).await.unwrap();
        let seen_generation = seen.map_or(0, |record| record.generation);
        let asked = TakeOver { seen_generation, identity: None, position: None, uncommitted_max };
        let (_, now) = bench.log.take_over(&consumer(), &stream(), &asked).await.unwrap().unwrap();
        assert_eq!(now.uncommitted_max, uncommitted_max);
        let kept: Option<StreamRecord> = bench.log.stream(&consumer(), &stream()).await.unwrap();
        assert_eq!(kept, Some(now));
    }
}

#[tokio::test]
async fn a_counter_of_versions_at_its_end_is_refused_and_not_made_a_fraction() {
    let bench = Bench::new().await;
    let mut stranger = bench.stranger().await;
    let near = i64::MAX - 5;
    sqlx::query("update counter set next_version = ?").bind(near).execute(&mut stranger).await.unwrap();
    let answer = bench.log.apply(&consumer(), &settings(), &[fail(event("e", 1))]).await;
    assert!(answer.is_err());
    let kept: (i64, String) = sqlx::query_as("select next_version, typeof(next_version) from counter")
        .fetch_one(&mut stranger)
        .await
        .unwrap();
    assert_eq!(kept, (near, "integer".to_owned()));
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let bench = Bench::new().await;
    apply(&bench.log, &[fail(event("e", 1))]).await;
    apply(&bench.log, &[arrive(event("e", 2))]).await;
    let before = listed(&bench.log).await.remove(0);
    bench.log.close().await.unwrap();
    let log = bench.another().await;
    let after = listed(&log).await.remove(0);
    assert_eq!(after.gate, before.gate);
    assert_eq!(indexes(&held(&log, "e").await), [1, 2]);
    let Reply::Claimed(Grant { attempt, .. }) = one(&log, claim("e", 1, 1, 9)).await else { panic!() };
    assert_eq!(attempt, 2);
    let version = listed(&log).await.remove(0).gate.version;
    assert!(version > before.gate.version, "versions are not used again after a restart");
}
