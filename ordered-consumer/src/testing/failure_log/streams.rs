//! Who owns a stream, and how far it is settled.

use bytes::Bytes;
use futures::future::join_all;

use super::{
    Bench,
    bench::{asked, sound},
};
use crate::{
    Index,
    gate::{Settle, StreamRecord, StreamRefusal, TakeOver},
};

async fn settle(
    bench: &Bench,
    generation: u64,
    through: u128,
    let_go: bool,
) -> Result<StreamRecord, StreamRefusal> {
    let report = Settle { generation, settled: Some(Index::new(through)), let_go };
    sound(bench.log.settle(&bench.consumer, &bench.stream, &report).await)
}

/// Two takeovers whose fences are raised in the wrong order: one of them starts again.
pub async fn a_takeover_raises_only_from_what_was_read(bench: &Bench) {
    assert_eq!(bench.record().await, None, "nobody has taken it over");
    let (before, first) = bench.try_take_over(&asked(0)).await.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((before, first.generation, first.clean), (None, 1, false));
    assert_eq!(bench.try_take_over(&asked(0)).await, Err(StreamRefusal::Raised { current: 1 }));
    assert_eq!(bench.try_take_over(&asked(2)).await, Err(StreamRefusal::Raised { current: 1 }));
    assert_eq!(bench.record().await, Some(first.clone()), "a refused takeover writes nothing");
    let (before, second) = bench.try_take_over(&asked(1)).await.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((before, second.generation), (Some(first), 2));
}

/// However many ask with the same generation.
pub async fn of_takeovers_at_the_same_time_one_wins(bench: &Bench) {
    let all = join_all((0..6).map(|_| async { bench.try_take_over(&asked(0)).await })).await;
    assert_eq!(all.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{all:?}");
    assert_eq!(bench.record().await.map(|record| record.generation), Some(1));
}

/// A record comes back with everything that was written, and the next owner learns what the last one left.
pub async fn a_takeover_returns_the_record_as_it_was_and_as_it_is(bench: &Bench) {
    let identity = Some(Bytes::from_static(b"\0topic \xff id"));
    let first = TakeOver {
        identity: identity.clone(),
        position: Some(Index::MIN),
        uncommitted_max: u64::from(u32::MAX),
        ..asked(0)
    };
    assert!(bench.try_take_over(&first).await.is_ok());
    assert!(settle(bench, 1, u128::from(u64::MAX) + 1, false).await.is_ok());
    let unclean = StreamRecord {
        identity: identity.clone(),
        generation: 1,
        settled: Some(Index::new(u128::from(u64::MAX) + 1)),
        clean: false,
        uncommitted_max: u64::from(u32::MAX),
    };
    assert_eq!(bench.record().await, Some(unclean.clone()));
    // What the first owner had under way may still come, so the second, which allows less, does not lower it.
    let second = StreamRecord { generation: 2, ..unclean.clone() };
    assert_eq!(bench.try_take_over(&asked(1)).await, Ok((Some(unclean), second.clone())));
    assert!(settle(bench, 2, 1, true).await.is_ok_and(|record| record.clean));
    let clean = StreamRecord { clean: true, ..second };
    assert_eq!(bench.try_take_over(&asked(2)).await.map(|(before, _)| before), Ok(Some(clean)));
}

/// Whatever an owner reports late, and whoever reports without owning.
pub async fn what_is_settled_never_goes_back(bench: &Bench) {
    assert_eq!(settle(bench, 0, 1, false).await, Err(StreamRefusal::Raised { current: 0 }));
    assert_eq!(bench.record().await, None, "a refused report writes nothing");
    bench.take_over().await;
    let mut highest = None;
    for (through, expected) in [(9, 9), (10, 10), (9, 10), (u128::MAX, u128::MAX), (11, u128::MAX)] {
        highest = Some(Index::new(expected));
        assert_eq!(settle(bench, 1, through, false).await.map(|record| record.settled), Ok(highest));
    }
    bench.take_over().await;
    assert_eq!(settle(bench, 1, 99, true).await, Err(StreamRefusal::Raised { current: 2 }));
    let record = bench.record().await.unwrap_or_default();
    assert_eq!((record.settled, record.clean), (highest, false), "a stale owner settles nothing");
    let nothing = Settle { generation: 2, settled: None, let_go: true };
    let record = sound(bench.log.settle(&bench.consumer, &bench.stream, &nothing).await);
    assert_eq!(record.map(|record| (record.settled, record.clean)), Ok((highest, true)));
}

/// The topic was deleted and created again: its indexes mean other events.
pub async fn a_takeover_stops_when_the_stream_is_another(bench: &Bench) {
    let with = |identity: &'static [u8], seen| TakeOver {
        identity: Some(Bytes::from_static(identity)),
        ..asked(seen)
    };
    assert!(bench.try_take_over(&with(b"one", 0)).await.is_ok());
    let before = bench.record().await;
    assert_eq!(bench.try_take_over(&with(b"two", 1)).await, Err(StreamRefusal::IdentityChanged));
    assert_eq!(bench.record().await, before);
    assert!(bench.try_take_over(&asked(1)).await.is_ok(), "a broker that does not tell is believed");
    assert_eq!(bench.try_take_over(&with(b"two", 2)).await, Err(StreamRefusal::IdentityChanged));
    assert!(bench.try_take_over(&with(b"one", 2)).await.is_ok());
}

/// Its tombstones would make the events that come again duplicates.
pub async fn a_takeover_stops_when_the_position_went_back(bench: &Bench) {
    bench.take_over().await;
    assert!(settle(bench, 1, 10, true).await.is_ok());
    let at = |position| TakeOver { position: Some(Index::new(position)), ..asked(1) };
    let before = bench.record().await;
    for position in [0, 9, 10] {
        let went_back = StreamRefusal::WentBack { position: Index::new(position), settled: Index::new(10) };
        assert_eq!(bench.try_take_over(&at(position)).await, Err(went_back));
    }
    assert_eq!(bench.record().await, before);
    assert!(bench.try_take_over(&at(11)).await.is_ok());
}

/// A stream belongs to a consumer: another one's takeover is its own.
pub async fn every_consumer_and_stream_has_a_record_of_its_own(bench: &Bench) {
    bench.take_over().await;
    assert!(settle(bench, 1, 5, false).await.is_ok());
    for other in [bench.as_consumer("shipping"), bench.on_stream("orders/1"), bench.on_stream("ORDERS/0")] {
        assert_eq!(other.record().await, None);
        assert_eq!(other.take_over().await, 1);
    }
    assert_eq!(bench.record().await.map(|record| record.generation), Some(1));
}
