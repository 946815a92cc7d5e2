//! The conformance suite on a broker in this process.

mod in_process;

use std::{sync::Arc, time::Instant};

use in_process::Fixture;
use ordered_consumer::testing::source::{Rule, any_rules, copies_rules, owned_rules, sessions_rules};
use tokio::sync::Semaphore;

/// Rules mostly wait for rebalances, so that many of them run at the same time.
const AT_ONCE: usize = 24;

async fn holds(strategy: &'static str, rules: Vec<Rule>) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = Vec::new();
    let only = std::env::var("RULE").ok();
    for rule in
        rules.into_iter().filter(|rule| only.as_ref().is_none_or(|only| rule.name.contains(only.as_str())))
    {
        let permits = Arc::clone(&permits);
        let run = tokio::spawn(async move {
            let _permit = permits.acquire_owned().await;
            let begin = Instant::now();
            let fixture = Box::new(Fixture::new(strategy));
            (rule.check)(fixture).await;
            println!("{} took {:?}", rule.name, begin.elapsed());
        });
        running.push((rule.name, run));
    }
    let mut broken = Vec::new();
    for (name, run) in running {
        if run.await.is_err() {
            broken.push(name);
        }
    }
    assert!(broken.is_empty(), "with {strategy} these do not hold: {broken:#?}");
}

fn rules() -> Vec<Rule> {
    any_rules().into_iter().chain(owned_rules()).chain(copies_rules()).chain(sessions_rules()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_hold_with_cooperative_sticky_assignment() {
    holds("cooperative-sticky", rules()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_hold_with_range_assignment() {
    let mut rules = rules();
    // This broker refuses every commit from when a member joins until the others have rejoined, which with eager assignment is
    // when they are asked to let go; Kafka's accepts them until then.
    rules.retain(|rule| rule.name != "what_was_settled_before_the_release_counts");
    holds("range", rules).await;
}
