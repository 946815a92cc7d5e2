//! What belongs to one consumer, stream or entity is no other's, whatever their names.

use bytes::Bytes;

use super::{Bench, bench::sound};
use crate::{
    ENTITY_BYTES_MAX, GateQuery, NAME_BYTES_MAX, Totals,
    gate::{Action, Verdict},
};

/// Two consumers of one topic know nothing of each other.
pub async fn consumers_do_not_see_each_other(bench: &Bench) {
    let other = bench.as_consumer("shipping");
    let (own, theirs) = (bench.entity("e"), other.entity("e"));
    own.fill(&[1, 2]).await;
    own.operated(Action::Pause).await;
    assert_eq!(theirs.arrive(&[1]).await, [Verdict::Run]);
    assert_eq!(theirs.gate().await, None);
    assert_eq!(other.totals().await, Totals::default());
    assert!(other.entities(None, 10, false).await.is_empty());
    assert!(theirs.events().await.is_empty());
    assert!(sound(other.log.audit(&other.consumer, None, 10).await).is_empty());
    let query = GateQuery { limit: 10, ..GateQuery::default() };
    assert!(sound(other.log.list(&other.consumer, &query).await).is_empty());
    theirs.fill(&[1]).await;
    bench.advance_secs(1);
    assert!(bench.take_entities(10).await.is_empty(), "the own one is paused");
    assert_eq!(other.take_entities(10).await, ["e"]);
    theirs.run_and_resolve(1, 1).await;
    assert_eq!(own.logged().await, [1, 2]);
}

/// An index means something in its stream only.
pub async fn streams_stay_apart(bench: &Bench) {
    let other = bench.on_stream("orders/1");
    let (here, there) = (bench.entity("e"), other.entity("e"));
    here.fill(&[1, 2]).await;
    assert_eq!(there.arrive(&[1]).await, [Verdict::Run]);
    there.fill(&[1, 2, 3]).await;
    there.run_and_resolve(1, 1).await;
    assert_eq!(here.logged().await, [1, 2]);
    assert_eq!(there.logged().await, [2, 3]);
    assert_eq!(here.arrive(&[1]).await, [Verdict::Duplicate]);
    here.operated(Action::Skip).await;
    assert_eq!(there.the_gate().await.head, Some(crate::Index::new(2)));
}

/// Keys are bytes, compared byte by byte: no text, no pattern, no padding, no case.
pub async fn entities_stay_apart_whatever_their_keys(bench: &Bench) {
    let long = |last: u8| {
        let mut key = vec![b'k'; ENTITY_BYTES_MAX - 1];
        key.push(last);
        Bytes::from(key)
    };
    let mut keys: Vec<Bytes> = vec![long(b'a'), long(b'b'), Bytes::from(vec![0; ENTITY_BYTES_MAX])];
    keys.extend((0..=255_u8).step_by(51).map(|byte| Bytes::from(vec![byte])));
    let texts = [
        "a", "A", "a ", " a", "a\0", "a\0b", "%", "_", "a%", "a_", "'", "''", "\\", "1", "01", "1.0", "NULL",
    ];
    keys.extend(texts.map(Bytes::from));
    keys.extend(["'; DROP TABLE gate; --", "\u{e9}", "e\u{301}", "x'41'"].map(Bytes::from));
    keys.extend([&b"\xc3\x28"[..], b"\xff\xfe", b"\xef\xbf\xbd"].map(Bytes::from));
    for (number, key) in (1_u128..).zip(&keys) {
        assert_eq!(bench.entity(key.clone()).arrive(&[number]).await, [Verdict::Run], "{key:?} is another's");
        bench.entity(key.clone()).fill(&[number]).await;
    }
    for (number, key) in (1_u128..).zip(&keys) {
        assert_eq!(bench.entity(key.clone()).logged().await, [number], "{key:?}");
    }
    let (gated, _) = sound(bench.log.which_gated(&bench.consumer, &bench.stream, &keys).await);
    assert_eq!(gated, vec![true; keys.len()]);
    bench.entity("%").operated(Action::Skip).await;
    bench.entity("_").operated(Action::Skip).await;
    assert_eq!(bench.totals().await.held_events, keys.len() as u64 - 2);
    keys.sort();
    assert_eq!(bench.entities(None, 1_000, false).await, keys);
}

/// Names are text of any kind, compared exactly.
pub async fn names_stay_apart_whatever_is_in_them(bench: &Bench) {
    let longest = "n".repeat(NAME_BYTES_MAX);
    let names = [
        "a",
        "A",
        "a ",
        "%",
        "_",
        "a%",
        "'; DROP TABLE gate; --",
        "\"",
        "\u{e9}",
        "e\u{301}",
        "\u{1F4A5}",
        &longest,
    ];
    for (number, name) in (1_u128..).zip(names) {
        bench.on_stream(name).entity("e").fill(&[number]).await;
        bench.as_consumer(name).entity("e").fill(&[number, number + 1]).await;
    }
    for (number, name) in (1_u128..).zip(names) {
        let (stream, consumer) = (bench.on_stream(name), bench.as_consumer(name));
        assert_eq!(stream.entity("e").logged().await, [number], "stream {name}");
        assert_eq!(stream.entities(None, 10, false).await, ["e"], "stream {name}");
        assert_eq!(consumer.entity("e").logged().await, [number, number + 1], "consumer {name}");
        assert_eq!(consumer.totals().await.gated_entities, 1, "consumer {name}");
    }
    assert_eq!(bench.totals().await.held_events, names.len() as u64);
}
