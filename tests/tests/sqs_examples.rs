//! The examples with Amazon SQS, as people run them, on the server that `./tests/run` starts.
#![cfg(feature = "services")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::process::Command;

/// A name that no other run has, so that the server may keep what earlier runs left.
fn name(what: &str) -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    format!("{what}-{}-{}", std::process::id(), since.as_nanos())
}

/// As the README says: ordinary AWS configuration. An emulator does not look at the credentials; AWS's own come from outside.
fn orders(arguments: &[&str], store: &str) -> String {
    let endpoint = std::env::var("SQS_ENDPOINT_URL").expect("./tests/run starts ElasticMQ");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sqs-orders-program"));
    command.env("AWS_ENDPOINT_URL", endpoint);
    for (variable, value) in
        [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")]
    {
        if std::env::var_os(variable).is_none() {
            command.env(variable, value);
        }
    }
    let (queue, consumer) = (format!("{}.fifo", name("orders")), name("billing"));
    let named = ["--queue", &queue, "--consumer", &consumer, "--store", store, "--until-idle"];
    let output = command.args(named).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The lines that say so of an order, in the order in which they were printed.
fn lines<'t>(text: &'t str, order: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.contains(&format!(" {order} "))).collect()
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
fn the_orders_example_keeps_every_orders_events_in_order_through_its_retry_queue() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", directory.path().join("orders.db").display());
    every_order_keeps_its_order(&orders(&["--produce", "10"], &store));
}

#[test]
fn the_orders_example_keeps_them_in_order_through_the_same_queue() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", directory.path().join("orders.db").display());
    every_order_keeps_its_order(&orders(&["--produce", "10", "--same-queue"], &store));
}

#[test]
fn the_orders_example_keeps_them_in_order_in_process_with_postgresql() {
    let store = std::env::var("DATABASE_URL").expect("./tests/run starts PostgreSQL");
    every_order_keeps_its_order(&orders(&["--produce", "10", "--in-process"], &store));
}
