//! The examples with Amazon SQS, as people run them, on the server that `./tests/run` starts.
#![cfg(feature = "services")]
#![expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use std::process::Command;

use ordered_consumer_tests::orders_shown::{every_order_keeps_its_order, name, shown_by};

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
    shown_by(command.args(named).args(arguments))
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
