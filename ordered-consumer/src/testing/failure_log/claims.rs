//! The right to run a head once, and what it returns.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::join_all;

use super::{
    Bench,
    entity::{RETRY, assert_same_event},
};
use crate::{
    Answer, Headers,
    gate::{ClaimRefusal, Gate, Reply, State},
};

fn refused(answer: &Answer) -> Option<ClaimRefusal> {
    assert!(answer.event.is_none(), "a refused claim has no event to run");
    if let Reply::ClaimRefused(why) = answer.reply { Some(why) } else { None }
}

/// The attempt is counted before the run, and a second copy does not run beside it.
pub async fn a_claim_is_granted_once_and_counted(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    let now = bench.now().await;
    let (grant, event) = entity.run(1, 1, 7).await;
    assert_eq!((grant.index.get(), grant.attempt, grant.alone), (1, 2, false));
    assert_eq!(grant.first_failed_at, Some(now));
    assert_eq!(grant.deadline, now.plus(Duration::from_secs(60)));
    assert_same_event(&event, &entity.event(1));
    assert_eq!(refused(&entity.claim(1, 1, 8).await), Some(ClaimRefusal::Running));
    assert_eq!(refused(&entity.claim(1, 2, 8).await), Some(ClaimRefusal::Running));
    let gate = entity.the_gate().await;
    assert_eq!((gate.state(), gate.attempts), (State::Running, 2));
}

/// Its first answer was lost: the same claim is granted again, and not counted again.
pub async fn a_claim_asked_for_again_is_the_same_claim(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    let (first, _) = entity.run(1, 1, 7).await;
    let (again, event) = entity.run(1, 1, 7).await;
    assert_eq!(again, first);
    assert_same_event(&event, &entity.event(1));
    assert_eq!(entity.the_gate().await.attempts, 2);
}

/// Whoever asks for anything else has a duplicate, or a copy out of turn.
pub async fn a_claim_is_refused_for_anything_but_the_head_as_it_is(bench: &Bench) {
    let entity = bench.entity("e");
    assert_eq!(refused(&entity.claim(1, 0, 7).await), Some(ClaimRefusal::NotHead), "no gate");
    entity.fill(&[1, 2]).await;
    assert_eq!(refused(&entity.claim(2, 0, 7).await), Some(ClaimRefusal::NotHead));
    assert_eq!(refused(&entity.claim(1, 0, 7).await), Some(ClaimRefusal::OtherAttempt));
    entity.operated(crate::gate::Action::Park).await;
    assert_eq!(refused(&entity.claim(1, 1, 7).await), Some(ClaimRefusal::Parked));
    assert_eq!(entity.the_gate().await.attempts, 1);
}

/// Two copies of one event, or two processes: one of them runs it.
pub async fn of_claims_made_at_the_same_time_one_wins(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    let answers = join_all((0..8).map(|token| entity.claim(1, 1, 100 + token))).await;
    let won = answers.iter().filter(|answer| matches!(answer.reply, Reply::Claimed(_))).count();
    assert_eq!(won, 1, "{answers:?}");
    assert_eq!(entity.the_gate().await.attempts, 2);
}

/// The log's payload is what runs, so it must be the very bytes that came.
pub async fn a_claim_returns_the_event_as_it_came(bench: &Bench) {
    let entity = bench.entity(&b"\0\xff key"[..]);
    let mut headers = Headers::default();
    headers.push("b".into(), Some("second".into()));
    headers.push("a".into(), Some(Bytes::from_static(b"\0\xff\xfe")));
    headers.push("b".into(), Some("first".into()));
    headers.push("b".into(), None);
    headers.push(Bytes::new(), Some(Bytes::new()));
    headers.push(Bytes::from_static(b"\xff\0"), None);
    let event = entity
        .builder(1)
        .id(&b"\xc3\x28\0"[..])
        .event_type(&b"order.paid\0\xff"[..])
        .headers(headers)
        .payload(&b"\0not \xff utf-8\0"[..])
        .time(SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456))
        .build();
    entity.fail_as(event.clone(), RETRY).await;
    assert_same_event(&entity.run(1, 1, 7).await.1, &event);
    assert_eq!(entity.events().await.len(), 1);
    for held in entity.events().await {
        assert_same_event(&held, &event);
    }
}

/// A null value (a Kafka tombstone) is not an empty one, and so with ids and types.
pub async fn nothing_and_empty_are_told_apart(bench: &Bench) {
    let entity = bench.entity("e");
    let builder = |index| {
        crate::Event::builder(bench.stream.clone(), crate::Index::new(index), entity.key.entity.clone())
    };
    let bare = builder(1).build();
    let empty = builder(2).id("").event_type("").payload("").time(SystemTime::UNIX_EPOCH).build();
    entity.fail_as(bare.clone(), RETRY).await;
    entity.arrive_as(empty.clone()).await;
    assert_same_event(&entity.run(1, 1, 7).await.1, &bare);
    entity.resolve(7, None).await;
    assert_same_event(&entity.run(2, 0, 8).await.1, &empty);
}

/// A megabyte with every byte value in it.
pub async fn a_large_payload_comes_back_whole(bench: &Bench) {
    let bench = bench.with_settings(|settings| settings.held_bytes_max = u64::MAX >> 1);
    let entity = bench.entity("e");
    let payload: Vec<u8> = (0..=255_u8).cycle().take(1 << 20).collect();
    let event = entity.builder(1).payload(payload).build();
    entity.fail_as(event.clone(), RETRY).await;
    assert_same_event(&entity.run(1, 1, 7).await.1, &event);
    assert_eq!(entity.the_gate().await.held_bytes, event.size() as u64);
}

/// A run whose claim was lost changes nothing, whatever it reports.
pub async fn a_result_without_its_token_does_not_count(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    entity.run(1, 1, 7).await;
    let before = entity.the_gate().await;
    assert_eq!(entity.resolve(8, Some(9)).await.reply, Reply::ClaimLost);
    assert_eq!(entity.fail_again(8, RETRY).await, Reply::ClaimLost);
    assert_eq!(entity.give_back(8).await, Reply::ClaimLost);
    assert_eq!(entity.renew(8).await, Reply::ClaimLost);
    assert_eq!(entity.the_gate().await, before);
    assert_eq!(entity.logged().await, [1, 2]);
    let other = bench.entity("f");
    assert_eq!(other.resolve(7, None).await.reply, Reply::ClaimLost, "a token is of one gate");
}

/// A token is spent with its result.
pub async fn a_result_counts_once(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1, 2]).await;
    entity.run(1, 1, 7).await;
    assert!(matches!(entity.resolve(7, None).await.reply, Reply::Resolved(_)));
    let after: Gate = entity.the_gate().await;
    assert_eq!(entity.resolve(7, None).await.reply, Reply::ClaimLost);
    assert_eq!(entity.fail_again(7, RETRY).await, Reply::ClaimLost);
    assert_eq!(entity.the_gate().await, after);
}

/// Tokens are 128 bits wide, and every one of them counts.
pub async fn tokens_that_differ_in_one_bit_are_different(bench: &Bench) {
    for (name, token) in [("low", 1_u128), ("high", 1 << 127), ("wide", u128::MAX)] {
        let entity = bench.entity(name);
        entity.fill(&[1]).await;
        entity.run(1, 1, token).await;
        for bit in [0, 31, 63, 64, 126, 127] {
            assert_eq!(entity.renew(token ^ (1 << bit)).await, Reply::ClaimLost, "bit {bit}");
        }
        assert!(matches!(entity.renew(token).await, Reply::Renewed { .. }));
    }
}

/// The process that runs it is alive.
pub async fn a_renewed_claim_lasts(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[1]).await;
    entity.run(1, 1, 7).await;
    bench.advance_secs(59);
    let deadline = bench.now().await.plus(Duration::from_secs(60));
    assert_eq!(entity.renew(7).await, Reply::Renewed { deadline });
    bench.advance_secs(59);
    assert!(bench.take_entities(10).await.is_empty(), "its deadline has not passed");
    assert!(matches!(entity.resolve(7, None).await.reply, Reply::Resolved(_)));
}
