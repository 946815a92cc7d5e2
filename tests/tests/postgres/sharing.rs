//! Several logs on one schema, as several processes have.

use std::collections::BTreeSet;

use futures::future::join_all;
use ordered_consumer::{
    FailureLog, PostgresFailureLog,
    gate::{FenceRefusal, Reply, Verdict},
};
use ordered_consumer_tests::postgres::TestSchema;
use tokio::task::JoinSet;

use crate::support::{apply, arrive, asked, claim, consumer, fail, held, one, owned, settings, stream};

async fn logs(schema: &TestSchema, count: usize) -> Vec<PostgresFailureLog> {
    join_all((0..count).map(|_| async { schema.builder().connect().await.unwrap() })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_claims_made_in_several_processes_at_once_one_is_granted() {
    let schema = TestSchema::new();
    let logs = logs(&schema, 4).await;
    for round in 1..=25_u32 {
        let entity = format!("e{round}");
        apply(&logs[0], &[fail(entity.clone(), 1)]).await;
        let mut claims = JoinSet::new();
        for (number, log) in (1_u128..).zip(logs.clone()) {
            let request = claim(entity.clone(), 1, 1, u128::from(round) * 100 + number);
            claims.spawn(async move { one(&log, request).await });
        }
        let replies = claims.join_all().await;
        let granted = replies.iter().filter(|reply| matches!(reply, Reply::Claimed(_))).count();
        assert_eq!(granted, 1, "{replies:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn relays_in_several_processes_never_take_one_gate_twice() {
    let schema = TestSchema::new();
    let logs = logs(&schema, 4).await;
    let entities: Vec<String> = (0..400).map(|number| format!("entity {number:03}")).collect();
    let failed: Vec<_> = entities.iter().map(|entity| fail(entity.clone(), 1)).collect();
    apply(&logs[0], &failed).await;
    let mut relays = JoinSet::new();
    for log in logs {
        relays.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let due = log.take_due(&consumer(), &settings(), 7).await.unwrap();
                if due.taken.is_empty() && due.next_due_in.is_none_or(|due_in| !due_in.is_zero()) {
                    return taken;
                }
                taken.extend(due.taken.into_iter().map(|taken| taken.key.entity));
            }
        });
    }
    let taken: Vec<_> = relays.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), distinct.len()), (400, 400));
}

// The hold is either before the takeover, and the new owner finds it, or refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hold_races_a_takeover_and_is_found_by_it_or_refused() {
    let schema = TestSchema::new();
    let logs = logs(&schema, 2).await;
    for round in 0..40_u64 {
        let entity = format!("e{round}");
        if round == 0 {
            logs[0].take_over(&consumer(), &stream(), &asked(0)).await.unwrap().unwrap();
        }
        let generation = round + 1;
        apply(&logs[0], &[owned(fail(entity.clone(), 1), generation)]).await;
        let (old, new) = (logs[0].clone(), logs[1].clone());
        let hold = {
            let request = owned(arrive(entity.clone(), 2), generation);
            tokio::spawn(async move { one(&old, request).await })
        };
        let seen = entity.clone();
        let take_over = tokio::spawn(async move {
            new.take_over(&consumer(), &stream(), &asked(generation)).await.unwrap().unwrap();
            held(&new, seen).await
        });
        let (hold, found) = (hold.await.unwrap(), take_over.await.unwrap());
        if hold == Reply::Arrived(vec![Verdict::Held]) {
            assert_eq!(found, [1, 2], "the new owner finds what was held before it");
        } else {
            let stale = FenceRefusal::StaleGeneration { current: Some(generation + 1) };
            assert_eq!(hold, Reply::Fenced(stale));
            assert_eq!(held(&logs[0], entity).await, [1], "and nothing comes after it");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failures_of_one_entity_in_several_processes_at_once_are_all_kept() {
    let schema = TestSchema::new();
    let logs = logs(&schema, 4).await;
    for round in 0..20 {
        let entity = format!("new {round}");
        let mut failures = JoinSet::new();
        for (index, log) in (1_u128..).zip(logs.clone()) {
            let request = fail(entity.clone(), index);
            failures.spawn(async move { one(&log, request).await });
        }
        for reply in failures.join_all().await {
            assert!(matches!(reply, Reply::Logged(_)), "{reply:?}");
        }
        // Whoever came first is the head; an earlier one that came later was resolved before it, or is held.
        let held = held(&logs[0], entity).await;
        assert!(!held.is_empty() && held.is_sorted() && held.contains(&4), "{held:?}");
    }
}

// Scenario 35: the same gates in opposite orders, some of them new.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_of_the_same_gates_in_opposite_orders_all_succeed() {
    let schema = TestSchema::new();
    let logs = logs(&schema, 4).await;
    let mut writers = JoinSet::new();
    for (number, log) in logs.clone().into_iter().enumerate() {
        writers.spawn(async move {
            for round in 0..15_usize {
                let mut requests: Vec<_> = (0..60)
                    .map(|entity| {
                        let index = (round * 4 + number) as u128 + 1_000;
                        fail(format!("entity {:02}", entity + round), index)
                    })
                    .collect();
                if number % 2 == 1 {
                    requests.reverse();
                }
                let answers = apply(&log, &requests).await.answers;
                assert!(answers.iter().all(|answer| matches!(answer.reply, Reply::Logged(_))));
            }
        });
    }
    writers.join_all().await;
    let sums = "select coalesce(sum(held_events), 0)::text from {schema}.gate \
                union all select count(*)::text from {schema}.event";
    let sums = schema.rows(sums).await;
    assert_eq!(sums[0], sums[1], "what the gates count is what the log has");
    assert!(logs[0].totals(&consumer()).await.unwrap().held_events > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_are_given_different_versions() {
    let schema = TestSchema::new();
    let logs = logs(&schema, 3).await;
    let mut writers = JoinSet::new();
    for (number, log) in logs.into_iter().enumerate() {
        writers.spawn(async move {
            for entity in 0..20 {
                apply(&log, &[fail(format!("{number} {entity}"), 1)]).await;
            }
        });
    }
    writers.join_all().await;
    let versions = schema.rows("select count(distinct version)::text from {schema}.gate").await;
    assert_eq!(versions, ["60"]);
}
