//! Who may still write for a stream.

use std::time::Duration;

use futures::future::join;

use super::Bench;
use crate::{
    Totals,
    gate::{FenceRefusal, Guard, Input, Reply, Verdict},
    testing::cancelled::yields,
};

fn stale(current: Option<u64>) -> Reply {
    Reply::Fenced(FenceRefusal::StaleGeneration { current })
}

/// No failure row appears behind what a new owner has resolved.
pub async fn a_failure_is_refused_under_a_stale_generation(bench: &Bench) {
    let entity = bench.entity("e");
    let old = Guard::Owned { generation: bench.take_over().await };
    let new = Guard::Owned { generation: bench.take_over().await };
    assert_eq!(entity.ask_under(old, entity.failed(1)).await.reply, stale(Some(2)));
    assert_eq!(bench.totals().await, Totals::default(), "nothing is written");
    assert!(matches!(entity.ask_under(new, entity.failed(1)).await.reply, Reply::Logged(_)));
}

/// Holding is a write like any other.
pub async fn a_hold_is_refused_under_a_stale_generation(bench: &Bench) {
    let entity = bench.entity("e");
    let old = Guard::Owned { generation: bench.take_over().await };
    entity.ask_under(old, entity.failed(1)).await;
    let new = Guard::Owned { generation: bench.take_over().await };
    assert_eq!(entity.ask_under(old, entity.arrival(&[2])).await.reply, stale(Some(2)));
    assert_eq!(entity.logged().await, [1]);
    let held = Reply::Arrived(vec![Verdict::Held]);
    assert_eq!(entity.ask_under(new, entity.arrival(&[2])).await.reply, held);
}

/// A generation that is yet to come is as wrong as one that is gone, and so is one of no takeover at all.
pub async fn nobody_writes_under_a_generation_that_there_is_not(bench: &Bench) {
    let entity = bench.entity("e");
    let early = Guard::Owned { generation: 0 };
    assert_eq!(entity.ask_under(early, entity.failed(1)).await.reply, stale(None));
    bench.take_over().await;
    let late = Guard::Owned { generation: 2 };
    assert_eq!(entity.ask_under(late, entity.failed(1)).await.reply, stale(Some(1)));
    assert_eq!(bench.totals().await, Totals::default());
}

/// Past it, the broker may have handed the event to somebody else.
pub async fn a_write_is_refused_past_its_deadline_by_the_logs_clock(bench: &Bench) {
    let entity = bench.entity("e");
    let deadline = bench.now().await.plus(Duration::from_secs(5));
    let guard = Guard::Shared { deadline: Some(deadline) };
    bench.advance(Duration::from_micros(4_999_999));
    assert!(matches!(entity.ask_under(guard, entity.failed(1)).await.reply, Reply::Logged(_)));
    bench.advance(Duration::from_micros(1));
    let refused = Reply::Fenced(FenceRefusal::DeadlinePassed);
    assert_eq!(entity.ask_under(guard, entity.arrival(&[2])).await.reply, refused, "at the deadline");
    bench.advance_secs(60);
    let other = bench.entity("f");
    assert_eq!(other.ask_under(guard, other.failed(1)).await.reply, refused, "a minute past it");
    assert_eq!(bench.totals().await.held_events, 1);
    let unbounded = Guard::Shared { deadline: None };
    assert!(matches!(other.ask_under(unbounded, other.failed(1)).await.reply, Reply::Logged(_)));
}

/// Deadlines are reckoned with the time that answers carry, so it must be the log's own.
pub async fn answers_carry_the_logs_own_time(bench: &Bench) {
    let entity = bench.entity("e");
    let first = bench.apply(&[entity.request(entity.arrival(&[1]))]).await.now;
    bench.advance_secs(7);
    let second = bench.apply(&[entity.request(entity.arrival(&[1]))]).await.now;
    assert_eq!(second.since(first), Duration::from_secs(7));
    assert_eq!(bench.now().await, second);
}

/// A refusal is an answer, not an error: the others of the batch are written.
pub async fn a_refused_request_leaves_the_others_of_its_batch_alone(bench: &Bench) {
    bench.take_over().await;
    let (stale_one, other) = (bench.entity("e"), bench.entity("f"));
    let mut requests = [stale_one.request(stale_one.failed(1)), other.request(other.failed(1))];
    requests[0].guard = Guard::Owned { generation: 9 };
    let answers = bench.apply(&requests).await.answers;
    let mut replies = answers.into_iter().map(|answer| answer.reply);
    assert_eq!(replies.next(), Some(stale(Some(1))));
    assert!(matches!(replies.next(), Some(Reply::Logged(_))));
    assert_eq!(stale_one.gate().await, None);
    assert_eq!(other.logged().await, [1]);
}

/// A claim's token is proof enough, whoever owns the stream by now.
pub async fn a_result_under_a_claim_counts_after_a_takeover(bench: &Bench) {
    let entity = bench.entity("e");
    bench.take_over().await;
    entity.fill(&[1]).await;
    entity.run(1, 1, 7).await;
    bench.take_over().await;
    let answer = entity.ask(Input::Renew { token: crate::gate::ClaimToken::new(7) }).await;
    assert!(matches!(answer.reply, Reply::Renewed { .. }));
    assert!(matches!(entity.resolve(7, None).await.reply, Reply::Resolved(_)));
}

/// A new owner loads the stream's gates once it has raised the generation: whatever an old owner writes is among them,
/// or is refused. A log that reads the fence, and then writes without having kept it locked, fails here.
pub async fn nothing_is_written_behind_a_takeover_that_comes_at_the_same_time(bench: &Bench) {
    for round in 0..16_u32 {
        let bench = bench.on_stream(&format!("round {round}"));
        let entity = bench.entity("e");
        let old = Guard::Owned { generation: bench.take_over().await };
        let write = async {
            yields(round % 4).await;
            entity.ask_under(old, entity.failed(1)).await.reply
        };
        let take_over = async {
            yields(round / 4).await;
            let new = bench.take_over().await;
            (new, bench.entities(None, 10, false).await)
        };
        let (reply, (new, found)) = join(write, take_over).await;
        let written = !found.is_empty();
        if let Reply::Logged(_) = reply {
            assert!(written, "written behind the takeover to generation {new}");
        } else {
            assert_eq!(reply, stale(Some(new)));
            assert!(!written, "it is refused, and written");
        }
    }
}
