//! The examples with Apache Kafka, as people run them, on the broker that `./tests/run` starts.
#![cfg(feature = "services")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::process::Command;

/// A name that no other run has, so that the broker may keep what earlier runs left.
fn name(what: &str) -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    format!("{what}-{}-{}", std::process::id(), since.as_nanos())
}

fn shown(program: &str, arguments: &[&str]) -> String {
    let brokers = std::env::var("KAFKA_BOOTSTRAP_SERVERS").expect("./tests/run starts Kafka");
    let output = Command::new(program).args(["--brokers", &brokers]).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The lines that say so of an order, in the order in which they were printed.
fn lines<'t>(text: &'t str, order: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.contains(&format!(" {order} "))).collect()
}

fn orders(arguments: &[&str], topic: &str, store: &str) -> String {
    let program = env!("CARGO_BIN_EXE_kafka-orders-program");
    let group = name("billing");
    let mut all = vec!["--topic", topic, "--group", &group, "--store", store, "--until-idle"];
    all.extend_from_slice(arguments);
    shown(program, &all)
}

fn every_order_keeps_its_order(text: &str) {
    assert!(text.contains("produced 30 events of 10 orders"), "{text}");
    let of = |order| lines(text, order);
    assert_eq!(of("order-1"), ["✓ order-1 created", "✓ order-1 paid", "✓ order-1 shipped"], "{text}");
    let failing = of("order-2");
    assert_eq!(failing.len(), 5, "{text}");
    assert!(failing[..2].iter().all(|line| line.starts_with("✗ order-2 created: the bank")), "{text}");
    assert_eq!(failing[2..], ["✓ order-2 created", "✓ order-2 paid", "✓ order-2 shipped"], "{text}");
    // What is parked is tried once, and what comes behind it never.
    let parked = lines(text, "order-3");
    assert_eq!(parked[0], "✗ order-3 created: the card is not valid", "{text}");
    assert!(parked[1].contains("parked, 3 held"), "{text}");
    assert!(text.contains("2 later events wait behind it"), "{text}");
}

#[test]
fn the_orders_example_keeps_every_orders_events_in_order_through_its_retry_topic() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), name("orders"));
    let store = format!("sqlite:{}", directory.path().join("orders.db").display());
    every_order_keeps_its_order(&orders(&["--produce", "10"], &topic, &store));
}

#[test]
fn the_orders_example_keeps_them_in_order_in_process_with_postgresql() {
    let store = std::env::var("DATABASE_URL").expect("./tests/run starts PostgreSQL");
    every_order_keeps_its_order(&orders(&["--produce", "10", "--in-process"], &name("orders"), &store));
}

#[test]
fn the_loop_of_ones_own_handles_what_comes_behind_a_failure_after_it_and_in_order() {
    let (directory, topic) = (tempfile::tempdir().unwrap(), name("orders"));
    let store = |of: &str| format!("sqlite:{}", directory.path().join(of).display());
    orders(&["--produce", "10"], &topic, &store("orders.db"));
    let program = env!("CARGO_BIN_EXE_own-consume-loop-program");
    let group = name("own-loop");
    let store = store("loop.db");
    let arguments = ["--topic", &topic, "--group", &group, "--store", &store, "--events", "30"];
    let text = shown(program, &arguments);
    let steps = |order: &str| -> Vec<String> {
        let handled = text.lines().filter(|line| line.starts_with(&format!("handled {order} ")));
        let step = |line: &str| ["created", "paid", "shipped"].into_iter().find(|step| line.contains(step));
        handled.map(|line| step(line).unwrap().to_owned()).collect()
    };
    for number in 1..=10 {
        assert_eq!(steps(&format!("order-{number}")), ["created", "paid", "shipped"], "{text}");
    }
    let before = text.split("handled order-2 ").next().unwrap();
    assert!(before.contains("retry_scheduled: order-2"), "{text}");
    assert!(text.contains("consumed 30, "), "{text}");
}
