//! What people ask for by what is known of a gate, and what is counted.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Bench,
    bench::sound,
    entity::{Entity, RETRY},
};
use crate::{
    COUNT_GROUPS_MAX, Count, CountBy, Counts, GateQuery, ParkCause,
    gate::{Action, Failure, Input, Next, State},
};

async fn found(bench: &Bench, query: GateQuery) -> Vec<Bytes> {
    let query = GateQuery { limit: 1_000, ..query };
    let gates = sound(bench.log.list(&bench.consumer, &query).await);
    gates.into_iter().map(|found| found.key.entity).collect()
}

async fn counts(bench: &Bench, query: &GateQuery, by: CountBy) -> Counts {
    sound(bench.log.counts(&bench.consumer, query, by).await)
}

async fn groups(bench: &Bench, query: &GateQuery, by: CountBy) -> Vec<(Option<String>, u64, u64)> {
    let name = |name: &Bytes| String::from_utf8_lossy(name).into_owned();
    let groups = counts(bench, query, by).await.groups.into_iter();
    groups
        .map(|group| (group.name.as_ref().map(name), group.count.entities, group.count.held_events))
        .collect()
}

/// The event at index 1 fails so, and is of this type.
async fn fail_with(entity: &Entity<'_>, class: &str, event_type: Option<&'static str>, next: Next) {
    let mut event = entity.builder(1);
    if let Some(event_type) = event_type {
        event = event.event_type(event_type);
    }
    let failure = Failure::new(class, "no");
    entity.ask(Input::Fail { event: event.build(), attempts: 1, failure, next }).await;
}

/// Percent, underscore and zero are bytes like any other, and so is the highest.
pub async fn a_prefix_is_taken_byte_by_byte(bench: &Bench) {
    let keys: [&[u8]; 10] =
        [b"a%", b"a%b", b"a_", b"ab", b"a\0", b"a\0b", b"a\xff", b"a\xff\xff", b"A%", b"b"];
    for key in keys {
        bench.entity(Bytes::from_static(key)).fill(&[1]).await;
    }
    bench.on_stream("orders/1").entity("a%b").fill(&[1]).await;
    let prefixes: [&[u8]; 9] = [b"a%", b"a_", b"a\0", b"a\xff", b"a", b"A", b"%", b"\xff", b"a%bc"];
    for prefix in prefixes {
        let mut expected: Vec<&[u8]> = keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
        expected.sort_unstable();
        if b"a%b".starts_with(prefix) {
            expected.push(b"a%b");
        }
        let entity_prefix = Some(Bytes::from_static(prefix));
        let query = GateQuery { entity_prefix: entity_prefix.clone(), ..GateQuery::default() };
        assert_eq!(found(bench, query.clone()).await, expected, "{prefix:?}");
        let of_stream = GateQuery { stream: Some(bench.stream.clone()), ..query.clone() };
        expected.truncate(keys.iter().filter(|key| key.starts_with(prefix)).count());
        assert_eq!(found(bench, of_stream).await, expected, "{prefix:?} in one stream");
        let parked = GateQuery { state: Some(State::Parked), ..query };
        assert!(found(bench, parked).await.is_empty());
    }
    let both =
        GateQuery { entity: Some("ab".into()), entity_prefix: Some("a".into()), ..GateQuery::default() };
    assert_eq!(found(bench, both.clone()).await, ["ab"]);
    let neither = GateQuery { entity_prefix: Some("b".into()), ..both };
    assert!(found(bench, neither).await.is_empty());
}

/// A prefix is read on where the last page ended.
pub async fn a_list_by_prefix_is_read_page_by_page(bench: &Bench) {
    for stream in ["b", "a"] {
        for entity in ["x3", "y1", "x1", "x2", "w9"] {
            bench.on_stream(stream).entity(entity).fill(&[1]).await;
        }
    }
    let mut query = GateQuery { entity_prefix: Some("x".into()), limit: 2, ..GateQuery::default() };
    let mut pages = Vec::new();
    loop {
        let page = sound(bench.log.list(&bench.consumer, &query).await);
        let Some(last) = page.last() else { break };
        query.after = Some(last.key.clone());
        pages.push(page.iter().map(|gate| gate.key.entity.clone()).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec!["x1", "x2"], vec!["x3", "x1"], vec!["x2", "x3"]]);
}

/// Since its head first failed or, while it has not, since the gate was made; by the log's clock.
pub async fn entities_are_found_by_how_long_they_have_waited(bench: &Bench) {
    bench.entity("failed").fail(1).await;
    bench.entity("paused").operated(Action::Pause).await;
    bench.advance_secs(100);
    bench.entity("young").fail(1).await;
    bench.entity("failed").run(1, 1, 7).await;
    bench.entity("failed").fail_again(7, RETRY).await;
    let older = |secs| GateQuery { older_than: Some(Duration::from_secs(secs)), ..GateQuery::default() };
    assert_eq!(found(bench, older(99)).await, ["failed", "paused"]);
    assert!(found(bench, older(100)).await.is_empty(), "not longer than that");
    let just = Duration::from_micros(99_999_999);
    let just = GateQuery { older_than: Some(just), ..GateQuery::default() };
    assert_eq!(found(bench, just).await, ["failed", "paused"]);
    bench.advance_secs(1);
    assert_eq!(found(bench, older(0)).await, ["failed", "paused", "young"]);
    assert!(found(bench, older(u64::MAX)).await.is_empty());
}

/// By the head's last failure, its type, and why it is parked; together with everything else.
pub async fn entities_are_found_by_what_is_the_matter_with_them(bench: &Bench) {
    let (permanent, exhausted) = (Next::Park(ParkCause::Permanent), Next::Park(ParkCause::Exhausted));
    fail_with(&bench.entity("a"), "Io%Error", Some("paid"), RETRY).await;
    fail_with(&bench.entity("b"), "Io_Error", Some("pa%d"), permanent).await;
    fail_with(&bench.entity("c"), "Io_Error", None, exhausted).await;
    bench.entity("c").arrive(&[2]).await;
    let class = |class: &str| GateQuery { error_class: Some(Arc::from(class)), ..GateQuery::default() };
    assert_eq!(found(bench, class("Io%Error")).await, ["a"]);
    assert_eq!(found(bench, class("Io_Error")).await, ["b", "c"]);
    assert!(found(bench, class("Io%")).await.is_empty());
    let of_type = |name: &'static str| GateQuery { event_type: Some(name.into()), ..GateQuery::default() };
    assert_eq!(found(bench, of_type("paid")).await, ["a"]);
    assert_eq!(found(bench, of_type("pa%d")).await, ["b"]);
    let cause = |cause| GateQuery { cause: Some(cause), ..GateQuery::default() };
    assert_eq!(found(bench, cause(ParkCause::Exhausted)).await, ["c"]);
    let all = GateQuery { state: Some(State::Parked), ..class("Io_Error") };
    assert_eq!(found(bench, GateQuery { cause: Some(ParkCause::Permanent), ..all.clone() }).await, ["b"]);
    assert!(found(bench, GateQuery { event_type: Some("paid".into()), ..all }).await.is_empty());
    bench.entity("a").run(1, 1, 7).await;
    bench.entity("a").fail_again(7, RETRY).await;
    assert_eq!(found(bench, class("Second")).await, ["a"], "it is the last failure that counts");
}

/// The largest group first and, of equal ones, by name; what has no name comes before.
pub async fn gates_are_counted_by_what_they_have_in_common(bench: &Bench) {
    let any = GateQuery::default();
    assert_eq!(counts(bench, &any, CountBy::State).await, Counts::default());
    let exhausted = Next::Park(ParkCause::Exhausted);
    fail_with(&bench.entity("a"), "Io", Some("paid"), RETRY).await;
    fail_with(&bench.entity("b"), "Io", Some("paid"), exhausted).await;
    fail_with(&bench.on_stream("orders/1").entity("b"), "Db", None, exhausted).await;
    bench.entity("b").arrive(&[2, 3]).await;
    bench.entity("p").operated(Action::Pause).await;
    bench.entity("done").fill(&[1]).await;
    bench.entity("done").run_and_resolve(1, 1).await;
    let named = |name: &str, entities, held| (Some(name.to_owned()), entities, held);
    assert_eq!(
        groups(bench, &any, CountBy::State).await,
        [named("parked", 2, 4), named("paused", 1, 0), named("waiting", 1, 1)]
    );
    assert_eq!(
        groups(bench, &any, CountBy::Cause).await,
        [named("exhausted", 2, 4), (None, 1, 1), named("operator", 1, 0)]
    );
    assert_eq!(
        groups(bench, &any, CountBy::ErrorClass).await,
        [named("Io", 2, 4), (None, 1, 0), named("Db", 1, 1)]
    );
    assert_eq!(groups(bench, &any, CountBy::EventType).await, [(None, 2, 1), named("paid", 2, 4)]);
    assert_eq!(
        groups(bench, &any, CountBy::Stream).await,
        [named("orders/0", 3, 4), named("orders/1", 1, 1)]
    );
    let parked = GateQuery { state: Some(State::Parked), stream: Some(bench.stream.clone()), ..any.clone() };
    assert_eq!(groups(bench, &parked, CountBy::ErrorClass).await, [named("Io", 1, 3)]);
    let of_prefix = GateQuery { entity_prefix: Some("b".into()), ..any };
    let total = Count { entities: 2, held_events: 4 };
    assert_eq!(counts(bench, &of_prefix, CountBy::Stream).await.total, total);
}

/// However many kinds of error there are, and wherever a page begins.
pub async fn counts_are_bounded_and_say_what_they_leave_out(bench: &Bench) {
    let groups_all = COUNT_GROUPS_MAX + 7;
    for number in 0..groups_all {
        let entity = bench.entity(format!("e{number:03}"));
        fail_with(&entity, &format!("Error{number:03}"), None, RETRY).await;
    }
    fail_with(&bench.entity("largest"), &format!("Error{:03}", groups_all - 1), None, RETRY).await;
    let after = bench.entity("e050").key.clone();
    let query = GateQuery { after: Some(after), limit: 1, ..GateQuery::default() };
    let found = counts(bench, &query, CountBy::ErrorClass).await;
    assert_eq!(found.groups.len(), COUNT_GROUPS_MAX);
    let first = found.groups.first().map(|group| (group.name.clone(), group.count.entities));
    assert_eq!(first, Some((Some(format!("Error{:03}", groups_all - 1).into()), 2)));
    assert_eq!(found.total.entities, groups_all as u64 + 1);
    assert_eq!(found.rest().entities, 7);
}
