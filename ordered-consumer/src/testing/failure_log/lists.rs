//! What is in the log: for the gate cache, and for people.

use bytes::Bytes;

use super::{
    Bench,
    bench::sound,
    entity::{RETRY, assert_same_event},
};
use crate::{
    GateQuery, Index, ParkCause, Totals,
    gate::{Action, Next, State},
};

/// One entity in each state, named for it.
async fn one_of_each(bench: &Bench) {
    for name in ["cleared", "parked", "running", "waiting", "z parked by ann"] {
        bench.entity(name).fill(&[1, 2]).await;
    }
    bench.entity("cleared").run_and_resolve(1, 1).await;
    bench.entity("cleared").run_and_resolve(2, 0).await;
    bench.entity("running").run(1, 1, 7).await;
    bench.entity("parked").run(1, 1, 7).await;
    bench.entity("parked").fail_again(7, Next::Park(ParkCause::Exhausted)).await;
    bench.entity("paused").operated(Action::Pause).await;
    bench.entity("z parked by ann").operated(Action::Park).await;
}

/// The cache of a million gates is loaded page by page, and every gate counts, tombstones too.
pub async fn every_gate_of_a_stream_is_found_page_by_page(bench: &Bench) {
    let mut expected: Vec<Bytes> =
        (0..23_u8).map(|n| Bytes::from(vec![n.wrapping_mul(67), b'\xff', n])).collect();
    expected.extend(["a", "a\0", "aa", "b", "\u{fe}"].map(Bytes::from));
    for (number, name) in (0_u32..).zip(&expected) {
        let entity = bench.entity(name.clone());
        entity.fill(&[1]).await;
        if number % 3 == 0 {
            entity.run_and_resolve(1, 1).await;
        }
    }
    bench.on_stream("orders/1").entity("elsewhere").fill(&[1]).await;
    expected.sort();
    let mut found: Vec<Bytes> = Vec::new();
    loop {
        let page = bench.entities(found.last(), 4, false).await;
        assert!(page.len() <= 4);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, expected);
    assert_eq!(bench.entities(Some(&Bytes::from_static(b"a\0\0")), 1, false).await, ["aa"]);
}

/// A refresh asks only for what operators did; what failed, its owner knows.
pub async fn operators_pauses_and_parks_are_found_alone(bench: &Bench) {
    one_of_each(bench).await;
    assert_eq!(bench.entities(None, 10, true).await, ["paused", "z parked by ann"]);
    assert_eq!(bench.entities(Some(&Bytes::from_static(b"paused")), 10, true).await, ["z parked by ann"]);
    bench.entity("paused").operated(Action::Resume).await;
    assert_eq!(bench.entities(None, 1, true).await, ["z parked by ann"]);
    assert_eq!(bench.entities(None, 10, false).await.len(), 5);
}

/// The one look-up for what a shared stream delivered: in the order asked, with repeats.
pub async fn which_of_these_are_gated_is_answered_in_order(bench: &Bench) {
    one_of_each(bench).await;
    bench.on_stream("orders/1").entity("elsewhere").fill(&[1]).await;
    let asked = ["new", "waiting", "cleared", "elsewhere", "waiting", "paused", "Waiting"].map(Bytes::from);
    let (gated, now) = sound(bench.log.which_gated(&bench.consumer, &bench.stream, &asked).await);
    assert_eq!(gated, [false, true, true, false, true, true, false]);
    assert_eq!(now, bench.now().await);
    let many: Vec<Bytes> =
        (0..1_200).map(|n| if n == 700 { "waiting".into() } else { format!("{n}").into() }).collect();
    let (gated, _) = sound(bench.log.which_gated(&bench.consumer, &bench.stream, &many).await);
    assert_eq!(gated.iter().position(|gated| *gated), Some(700));
    assert_eq!((gated.len(), gated.iter().filter(|gated| **gated).count()), (1_200, 1));
}

async fn listed(bench: &Bench, query: &GateQuery) -> Vec<String> {
    let gates = sound(bench.log.list(&bench.consumer, query).await);
    let now = bench.now().await;
    assert!(gates.iter().all(|gate| gate.now == now), "each carries the log's time");
    gates
        .iter()
        .map(|gate| format!("{} {}", gate.key.stream, String::from_utf8_lossy(&gate.key.entity)))
        .collect()
}

/// By state, by entity, by stream, and by all of them; tombstones only when they are asked for.
pub async fn gates_are_listed_by_everything_that_is_asked(bench: &Bench) {
    one_of_each(bench).await;
    let second = bench.on_stream("orders/1");
    second.entity("parked").fill(&[1]).await;
    let any = GateQuery { limit: 100, ..GateQuery::default() };
    let all = listed(bench, &any).await;
    let active = ["parked", "paused", "running", "waiting", "z parked by ann"];
    let mut expected: Vec<String> = active.iter().map(|name| format!("orders/0 {name}")).collect();
    expected.push("orders/1 parked".to_owned());
    assert_eq!(all, expected);
    for (state, names) in [
        (State::Waiting, &["orders/0 waiting", "orders/1 parked"][..]),
        (State::Running, &["orders/0 running"]),
        (State::Parked, &["orders/0 parked", "orders/0 z parked by ann"]),
        (State::Paused, &["orders/0 paused"]),
        (State::Cleared, &["orders/0 cleared"]),
    ] {
        assert_eq!(listed(bench, &GateQuery { state: Some(state), ..any.clone() }).await, names, "{state:?}");
    }
    let of_entity = GateQuery { entity: Some("parked".into()), ..any.clone() };
    assert_eq!(listed(bench, &of_entity).await, ["orders/0 parked", "orders/1 parked"]);
    let of_stream = GateQuery { stream: Some(second.stream.clone()), ..any.clone() };
    assert_eq!(listed(bench, &of_stream).await, ["orders/1 parked"]);
    let of_all = GateQuery { state: Some(State::Waiting), stream: Some(bench.stream.clone()), ..of_entity };
    assert!(listed(bench, &of_all).await.is_empty());
}

/// In the order of stream and entity, with nothing left out or twice.
pub async fn a_list_is_read_page_by_page(bench: &Bench) {
    for stream in ["b", "a", "c"] {
        for entity in ["3", "1", "2"] {
            bench.on_stream(stream).entity(entity).fill(&[1]).await;
        }
    }
    let mut query = GateQuery { limit: 2, ..GateQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = sound(bench.log.list(&bench.consumer, &query).await);
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        query.after = Some(last.key.clone());
        found.extend(page.iter().map(|gate| (gate.key.stream.to_string(), gate.key.entity.clone())));
    }
    let expected: Vec<_> = ["a", "b", "c"]
        .iter()
        .flat_map(|stream| {
            ["1", "2", "3"].map(|entity| ((*stream).to_owned(), Bytes::from_static(entity.as_bytes())))
        })
        .collect();
    assert_eq!(found, expected);
}

/// What is there and what it weighs, at every step.
pub async fn totals_count_what_is_there(bench: &Bench) {
    let size = |name: &'static str, index| bench.entity(name).event(index).size() as u64;
    assert_eq!(bench.totals().await, Totals::default());
    bench.entity("a").fill(&[1, 2]).await;
    bench.entity("b").fill(&[1]).await;
    let mut expected = Totals {
        gated_entities: 2,
        parked_entities: 0,
        held_events: 3,
        held_bytes: size("a", 1) + size("a", 2) + size("b", 1),
        oldest_held: None,
    };
    assert_eq!(bench.totals().await, expected);
    bench.entity("b").operated(Action::Park).await;
    bench.entity("c").operated(Action::Pause).await;
    expected.gated_entities = 3;
    expected.parked_entities = 2;
    assert_eq!(bench.totals().await, expected);
    bench.entity("a").run_and_resolve(1, 1).await;
    bench.entity("a").run_and_resolve(2, 0).await;
    expected.gated_entities = 2;
    (expected.held_events, expected.held_bytes) = (1, size("b", 1));
    assert_eq!(bench.totals().await, expected, "a tombstone holds nothing and gates nobody");
    bench.entity("b").operated(Action::Skip).await;
    bench.entity("c").operated(Action::Resume).await;
    assert_eq!(bench.totals().await, Totals::default());
}

/// The age is the longest of all entities that hold events, and that of nothing else.
pub async fn the_age_of_what_is_held_is_that_of_the_longest_gated_entity(bench: &Bench) {
    bench.entity("paused").operated(Action::Pause).await;
    bench.advance_secs(100);
    assert_eq!(bench.oldest_held().await, None, "an entity without events holds nothing");
    bench.entity("a").fill(&[1, 2]).await;
    bench.advance_secs(20);
    bench.entity("b").fill(&[1]).await;
    bench.advance_secs(3);
    let secs = async || bench.oldest_held().await.map(|age| age.as_secs());
    assert_eq!(secs().await, Some(23));
    bench.entity("a").run_and_resolve(1, 1).await;
    assert_eq!(secs().await, Some(23), "its second event has waited for as long at most");
    bench.entity("a").run_and_resolve(2, 0).await;
    assert_eq!(secs().await, Some(3), "a tombstone holds nothing");
    bench.entity("b").operated(Action::Skip).await;
    assert_eq!(secs().await, None);
}

/// A window of one entity's events, however many there are.
pub async fn held_events_are_read_within_their_bounds(bench: &Bench) {
    let entity = bench.entity("e");
    let wide = u128::from(u64::MAX);
    entity.fill(&[9, 10, 11, wide, wide + 1]).await;
    bench.entity("f").fill(&[10]).await;
    let read = async |from: u128, through: u128, limit: u32, bytes_max: u64| {
        let range = (Index::new(from), Index::new(through));
        let events =
            sound(bench.log.held_events(&bench.consumer, &entity.key, range, limit, bytes_max).await);
        for event in &events {
            assert_same_event(event, &entity.event(event.index().get()));
        }
        events.iter().map(|event| event.index().get()).collect::<Vec<_>>()
    };
    assert_eq!(read(0, u128::MAX, 100, u64::MAX).await, [9, 10, 11, wide, wide + 1]);
    assert_eq!(read(10, 11, 100, u64::MAX).await, [10, 11]);
    assert_eq!(read(10, wide, 2, u64::MAX).await, [10, 11]);
    assert_eq!(read(12, wide + 1, 100, u64::MAX).await, [wide, wide + 1]);
    assert_eq!(read(0, u128::MAX, 100, 0).await, [9], "the first one comes however large it is");
    let few = read(0, u128::MAX, 100, entity.event(10).size() as u64 * 2).await;
    assert!(matches!(few.len(), 2 | 3) && few.starts_with(&[9, 10]), "{few:?}");
    assert!(read(12, 20, 100, u64::MAX).await.is_empty());
    assert!(read(11, 10, 100, u64::MAX).await.is_empty());
}

/// Reading is no step: nothing changes by it.
pub async fn reading_changes_nothing(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fail_as(entity.event(1), RETRY).await;
    let before = entity.the_gate().await;
    entity.events().await;
    bench.entities(None, 10, false).await;
    bench.totals().await;
    bench.record().await;
    assert_eq!(entity.the_gate().await, before);
}
