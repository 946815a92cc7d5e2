//! The examples with Apache Kafka, as people run them, on the broker that `./tests/run` starts.
#![cfg(feature = "services")]
#![expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use std::process::Command;

use ordered_consumer_tests::orders_shown::{every_order_keeps_its_order, name, shown_by};

fn shown(program: &str, arguments: &[&str]) -> String {
    let brokers = std::env::var("KAFKA_BOOTSTRAP_SERVERS").expect("./tests/run starts Kafka");
    shown_by(Command::new(program).args(["--brokers", &brokers]).args(arguments))
}

fn orders(arguments: &[&str], topic: &str, store: &str) -> String {
    let program = env!("CARGO_BIN_EXE_kafka-orders-program");
    let group = name("billing");
    let mut all = vec!["--topic", topic, "--group", &group, "--store", store, "--until-idle"];
    all.extend_from_slice(arguments);
    shown(program, &all)
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
