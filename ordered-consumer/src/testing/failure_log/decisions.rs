//! What an operator says about a stream that is not what it was.

use bytes::Bytes;

use super::{
    Bench,
    bench::{asked, sound},
};
use crate::{
    Index, StreamDecision,
    gate::{FenceRefusal, Guard, Reply, Settle, State, TakeOver, Verdict},
};

fn with_identity(identity: &'static [u8], seen_generation: u64) -> TakeOver {
    TakeOver {
        identity: Some(Bytes::from_static(identity)),
        position: Some(Index::MIN),
        ..asked(seen_generation)
    }
}

/// A stream at generation 1 that is settled through 9, with a tombstone, an entity that holds events, and a pause.
async fn consumed(bench: &Bench) {
    assert!(bench.try_take_over(&with_identity(b"old", 0)).await.is_ok());
    let report = Settle { generation: 1, settled: Some(Index::new(9)), let_go: false };
    assert!(sound(bench.log.settle(&bench.consumer, &bench.stream, &report).await).is_ok());
    bench.entity("done").fill(&[3]).await;
    bench.entity("done").run_and_resolve(3, 1).await;
    bench.entity("held").fill(&[4, 5]).await;
    bench.entity("paused").operated(crate::gate::Action::Pause).await;
}

async fn decide(bench: &Bench, decision: StreamDecision) {
    sound(bench.log.decide_stream(&bench.consumer, &bench.stream, decision, "ann", "topic recreated").await);
}

/// Takes the stream over as what it is now, from whatever generation it has.
async fn take_over_anew(bench: &Bench) -> u64 {
    let seen = bench.record().await.map_or(0, |record| record.generation);
    match bench.try_take_over(&with_identity(b"new", seen)).await {
        Ok((_, record)) => record.generation,
        Err(refusal) => panic!("after a decision the takeover goes on: {refusal}"),
    }
}

/// Events from the broker's position on are handled again, behind those that are held.
pub async fn a_replay_forgets_what_was_settled_and_every_tombstone(bench: &Bench) {
    consumed(bench).await;
    assert!(bench.try_take_over(&with_identity(b"new", 1)).await.is_err());
    decide(bench, StreamDecision::Replay).await;
    assert_eq!(bench.record().await.and_then(|record| record.settled), None);
    take_over_anew(bench).await;
    assert_eq!(bench.entity("done").gate().await, None);
    assert_eq!(bench.entity("done").arrive(&[3]).await, [Verdict::Run]);
    assert_eq!(bench.entity("held").logged().await, [4, 5]);
    assert_eq!(bench.entity("held").arrive(&[6]).await, [Verdict::Held]);
    assert_eq!(bench.entity("paused").the_gate().await.state(), State::Paused, "a pause goes on");
}

/// The old one's held events go on being retried under another name, and the name begins anew.
pub async fn a_new_stream_sets_the_old_one_apart(bench: &Bench) {
    consumed(bench).await;
    decide(bench, StreamDecision::NewStream).await;
    assert!(bench.entities(None, 10, false).await.is_empty(), "the name has no gates any more");
    take_over_anew(bench).await;
    assert_eq!(bench.record().await.and_then(|record| record.settled), None);
    assert_eq!(bench.entity("held").arrive(&[4]).await, [Verdict::Run], "the index means another event now");
    let apart = bench.on_stream("orders/0~1");
    assert_eq!(apart.entities(None, 10, false).await, ["done", "held", "paused"]);
    let settled = apart.record().await.map(|record| (record.generation, record.settled));
    assert_eq!(settled, Some((1, Some(Index::new(9)))));
    let held = apart.entity("held");
    bench.advance_secs(1);
    let keys: Vec<_> = bench.take_due(10).await.taken.into_iter().map(|taken| taken.key).collect();
    assert_eq!(keys, std::slice::from_ref(&held.key));
    let (_, event) = held.run(4, 1, 7).await;
    assert_eq!(event.stream(), &apart.stream, "whoever runs it reports to where its gate is");
    assert_eq!(event.payload(), held.event(4).payload());
    held.resolve(7, None).await;
    held.run_and_resolve(5, 0).await;
}

/// Whoever owned the stream before the decision does not know of it, and must not write.
pub async fn an_owner_from_before_a_decision_is_refused(bench: &Bench) {
    for (name, decision) in [("a", StreamDecision::Replay), ("b", StreamDecision::NewStream)] {
        let bench = bench.on_stream(name);
        let old = bench.take_over().await;
        decide(&bench, decision).await;
        assert_ne!(take_over_anew(&bench).await, old, "the new owner is not taken for the old one");
        let entity = bench.entity("e");
        let reply = entity.ask_under(Guard::Owned { generation: old }, entity.failed(1)).await.reply;
        assert!(
            matches!(reply, Reply::Fenced(FenceRefusal::StaleGeneration { .. })),
            "{decision:?}: {reply:?}"
        );
        assert_eq!(entity.gate().await, None);
    }
}

/// The answer was lost: the same decision made again loses nothing, and moves nothing twice.
pub async fn a_decision_made_again_changes_nothing_more(bench: &Bench) {
    for (name, decision) in [("a", StreamDecision::Replay), ("b", StreamDecision::NewStream)] {
        let bench = bench.on_stream(name);
        consumed(&bench).await;
        decide(&bench, decision).await;
        decide(&bench, decision).await;
        let held = match decision {
            StreamDecision::Replay => bench.clone(),
            StreamDecision::NewStream => bench.on_stream("b~1"),
        };
        assert_eq!(held.entity("held").logged().await, [4, 5], "{decision:?}");
        take_over_anew(&bench).await;
    }
}

/// One stream's decision is no other's, whatever their names have in common.
pub async fn a_decision_is_about_one_stream_of_one_consumer(bench: &Bench) {
    let others = [
        bench.as_consumer("shipping"),
        bench.on_stream("orders/00"),
        bench.on_stream("orders/"),
        bench.on_stream("orders_0"),
        bench.on_stream("%"),
    ];
    for other in &others {
        consumed(other).await;
    }
    consumed(bench).await;
    for decision in [StreamDecision::Replay, StreamDecision::NewStream] {
        decide(bench, decision).await;
    }
    for other in &others {
        assert_eq!(other.entities(None, 10, false).await, ["done", "held", "paused"], "{:?}", other.stream);
        assert_eq!(other.record().await.and_then(|record| record.settled), Some(Index::new(9)));
    }
}

/// Somebody may ask why a stream was handled again.
pub async fn a_decision_is_written_down(bench: &Bench) {
    consumed(bench).await;
    decide(bench, StreamDecision::Replay).await;
    let lines = sound(bench.log.audit(&bench.consumer, None, 1).await);
    let line = lines.first().map(|line| (&line.key.stream, &*line.audit.by, &*line.audit.why));
    assert_eq!(line, Some((&bench.stream, "ann", "topic recreated")));
}
