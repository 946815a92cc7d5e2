//! How much may be held for one entity.

use super::Bench;
use crate::gate::{Logged, Verdict};

/// At the limit it is held, and one over it must wait, with nothing written.
pub async fn held_events_are_limited_exactly(bench: &Bench) {
    let bench = bench.with_settings(|settings| settings.held_events_max = 3);
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    assert_eq!(entity.arrive(&[3, 4, 5]).await, [Verdict::Held, Verdict::Full, Verdict::Undecided]);
    let totals = bench.totals().await;
    assert_eq!(entity.arrive(&[4]).await, [Verdict::Full]);
    assert_eq!(bench.totals().await, totals);
    assert_eq!(entity.logged().await, [1, 2, 3]);
    entity.run_and_resolve(1, 1).await;
    assert_eq!(entity.arrive(&[4]).await, [Verdict::Held], "what was resolved makes room");
}

/// To the byte.
pub async fn held_bytes_are_limited_exactly(bench: &Bench) {
    let size = |index| bench.entity("e").event(index).size() as u64;
    let max = size(1) + size(2) + size(3);
    let exact = bench.with_settings(|settings| settings.held_bytes_max = max);
    let tight = bench.with_settings(|settings| settings.held_bytes_max = max - 1);
    bench.entity("e").fill(&[1, 2]).await;
    assert_eq!(tight.entity("e").arrive(&[3]).await, [Verdict::Full], "one byte over the limit");
    assert_eq!(exact.entity("e").arrive(&[3]).await, [Verdict::Held], "exactly at the limit");
    assert_eq!(exact.entity("e").the_gate().await.held_bytes, max);
    assert_eq!(exact.totals().await.held_bytes, max);
}

/// It ran already, so refusing it would lose it or let a later event overtake it.
pub async fn a_failure_is_never_limited(bench: &Bench) {
    let bench = bench.with_settings(|settings| {
        settings.held_events_max = 1;
        settings.held_bytes_max = 1;
    });
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    assert_eq!(entity.fail(2).await, Logged::Held);
    assert_eq!(entity.logged().await, [1, 2]);
    assert_eq!(entity.arrive(&[3]).await, [Verdict::Full]);
}
