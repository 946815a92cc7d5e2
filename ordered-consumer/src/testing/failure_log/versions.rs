//! What operators name when they act: a gate as they saw it.

use std::collections::BTreeSet;

use super::{Bench, entity::RETRY};
use crate::gate::{Action, Reply};

/// An operator who looked while events were held must not be told that it is stale for ever.
pub async fn a_hold_changes_no_version(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    let version = entity.the_gate().await.version;
    entity.arrive(&[2, 3]).await;
    entity.fail(4).await;
    let gate = entity.the_gate().await;
    assert_eq!((gate.version, gate.held_events), (version, 4));
    bench.advance_secs(1);
    assert_eq!(bench.take_entities(1).await.len(), 1);
    assert_eq!(entity.the_gate().await.version, version, "nor does the relay");
}

/// Every change of head, state or attempts has a version of its own, across gates, streams and consumers.
pub async fn a_version_is_never_given_twice(bench: &Bench) {
    let other_stream = bench.on_stream("orders/1");
    let other_consumer = bench.as_consumer("shipping");
    let entities =
        [bench.entity("e"), bench.entity("f"), other_stream.entity("e"), other_consumer.entity("e")];
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        for entity in &entities {
            let mut note = async |what: &str| {
                let version = entity.the_gate().await.version;
                assert!(version > 0, "zero means that there is no gate");
                assert!(seen.insert(version), "round {round}: {what} has a version that was given before");
            };
            let first = round * 10 + 1;
            entity.fill(&[first, first + 1]).await;
            note("a failure").await;
            entity.run(first, 1, first).await;
            note("a claim").await;
            entity.fail_again(first, RETRY).await;
            note("a failed run").await;
            entity.operated(Action::Park).await;
            note("a park").await;
            entity.operated(Action::Skip).await;
            note("a skip").await;
            entity.run_and_resolve(first + 1, 0).await;
            note("the last success").await;
        }
    }
}

/// Whoever saw the gate that was dropped must not act on the one that came after.
pub async fn a_gate_that_comes_again_has_a_new_version(bench: &Bench) {
    let entity = bench.entity("e");
    let Reply::Operated { version: first } = entity.operate(Action::Pause).await else {
        panic!("a clear entity can be paused")
    };
    entity.operated(Action::Resume).await;
    assert_eq!(entity.gate().await, None);
    let Reply::Operated { version: second } = entity.operate(Action::Pause).await else {
        panic!("a clear entity can be paused again")
    };
    assert_ne!(first, second);
}
