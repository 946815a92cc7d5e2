//! Many requests at once, in one transaction.

use futures::future::join_all;

use super::{
    Bench,
    entity::{Entity, RETRY, arrival, failed, verdicts},
};
use crate::{
    BATCH_REQUESTS_MAX, FailureLogError, Request, Totals,
    gate::{Logged, Reply, Verdict},
    testing::cancelled_at_poll,
};

async fn misused(bench: &Bench, requests: &[Request]) {
    let outcome = bench.try_apply(requests).await;
    assert!(matches!(outcome, Err(FailureLogError::Misused { .. })), "{outcome:?}");
    assert_eq!(bench.totals().await, Totals::default(), "nothing of a misused batch is written");
}

/// No answer could say what became of the second one.
pub async fn two_requests_for_one_gate_are_misused(bench: &Bench) {
    let (twice, once) = (bench.entity("e"), bench.entity("f"));
    let requests =
        [once.request(once.failed(1)), twice.request(twice.failed(1)), twice.request(twice.failed(2))];
    misused(bench, &requests).await;
    let elsewhere = bench.on_stream("orders/1");
    let same_name = elsewhere.entity("e");
    let fine = [twice.request(twice.failed(1)), same_name.request(same_name.failed(1))];
    assert_eq!(bench.apply(&fine).await.answers.len(), 2, "a gate is an entity of one stream");
}

/// It would be a transaction about nothing.
pub async fn an_empty_batch_is_misused(bench: &Bench) {
    misused(bench, &[]).await;
}

/// As many as may be are taken, and one more is refused, with nothing written.
pub async fn a_batch_is_bounded(bench: &Bench) {
    let entities: Vec<Entity<'_>> =
        (0..=BATCH_REQUESTS_MAX).map(|number| bench.entity(format!("e{number}"))).collect();
    let requests: Vec<Request> = entities.iter().map(|entity| entity.request(entity.failed(1))).collect();
    misused(bench, &requests).await;
    let answers = bench.apply(&requests[1..]).await.answers;
    let logged = |reply: &Reply| matches!(reply, Reply::Logged(Logged::Retrying { .. }));
    assert!(answers.iter().all(|answer| logged(&answer.reply)));
    assert_eq!(bench.totals().await.gated_entities, BATCH_REQUESTS_MAX as u64);
}

/// Whatever the store does with the requests meanwhile.
pub async fn answers_are_in_the_order_of_their_requests(bench: &Bench) {
    let names = ["m", "a", "z", "k", "b"];
    for (number, name) in (1_u128..).zip(names) {
        let entity = bench.entity(name);
        entity.fail_as(entity.event(number), RETRY).await;
    }
    let entities = names.map(|name| bench.entity(name));
    let requests: Vec<Request> = entities
        .iter()
        .map(|entity| entity.request(arrival((1..=5).map(|index| entity.event(index)))))
        .collect();
    let answers = bench.apply(&requests).await.answers;
    for (own, answer) in (1_usize..).zip(answers) {
        let expected: Vec<Verdict> =
            (1..=5).map(|index| if index <= own { Verdict::Duplicate } else { Verdict::Held }).collect();
        assert_eq!(verdicts(answer.reply), expected, "the entity whose head is at {own}");
    }
}

/// Each kind of input finds its own rows, also beside others.
pub async fn a_batch_of_every_kind_does_what_each_would_alone(bench: &Bench) {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| bench.entity(name));
    for entity in [&a, &b, &c] {
        entity.fill(&[1, 2, 3]).await;
    }
    for entity in [&a, &b] {
        entity.run(1, 1, 7).await;
    }
    let token = crate::gate::ClaimToken::new;
    let resolve = crate::gate::Input::Resolve {
        token: token(7),
        in_process: true,
        next: Some(token(8)),
        ignored: None,
    };
    let give_back = crate::gate::Input::GiveBack { token: token(7), after: std::time::Duration::ZERO };
    let claim = crate::gate::Input::Claim { index: 1_u64.into(), attempts: 1, token: token(9) };
    let requests =
        [a.request(resolve), b.request(give_back), c.request(claim), d.request(failed(d.event(9), RETRY))];
    let answers = bench.apply(&requests).await.answers;
    let read: Vec<_> =
        answers.iter().map(|answer| answer.event.as_ref().map(|event| event.index().get())).collect();
    assert_eq!(read, [Some(2), None, Some(1), None]);
    assert_eq!(a.logged().await, [2, 3]);
    assert_eq!(b.the_gate().await.attempts, 1);
    assert_eq!(c.the_gate().await.attempts, 2);
    assert_eq!(d.logged().await, [9]);
}

/// Dropped at whatever point, a call is done as a whole or not at all, and leaves nothing open.
pub async fn a_dropped_call_is_never_half_done(bench: &Bench) {
    for polls in 0..12 {
        let round = bench.on_stream(&format!("round {polls}"));
        let entities: Vec<Entity<'_>> = (0..20).map(|number| round.entity(format!("e{number}"))).collect();
        let requests: Vec<Request> = entities.iter().map(|entity| entity.request(entity.failed(1))).collect();
        cancelled_at_poll(polls, round.try_apply(&requests)).await;
        let answers = round.apply(&requests).await.answers;
        let known = answers.iter().filter(|answer| answer.reply == Reply::Logged(Logged::Known)).count();
        assert!(known == 0 || known == 20, "{known} of 20 were written by the call that was dropped");
        assert_eq!(round.entities(None, 100, false).await.len(), 20);
    }
    assert_eq!(bench.totals().await.held_events, 12 * 20);
}

/// Writers of one gate wait for one another: none of them writes over what it has not seen.
pub async fn writes_to_one_gate_at_the_same_time_all_count(bench: &Bench) {
    let entity = bench.entity("e");
    entity.fill(&[0]).await;
    let all =
        join_all((1..=24_u128).map(|index| entity.ask(entity.arrival(std::slice::from_ref(&index))))).await;
    assert!(all.iter().all(|answer| answer.reply == Reply::Arrived(vec![Verdict::Held])), "{all:?}");
    assert_eq!(entity.logged().await, (0..=24).collect::<Vec<u128>>());
    let gate = entity.the_gate().await;
    let bytes: usize = entity.events().await.iter().map(crate::Event::size).sum();
    assert_eq!((gate.held_events, gate.held_bytes), (25, bytes as u64));
}
