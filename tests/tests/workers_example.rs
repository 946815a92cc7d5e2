//! The example with several worker processes, as people run it.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::process::{Command, Output};

fn run(store: &str, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_workers-program");
    Command::new(program).args(["--store", store]).args(arguments).output().unwrap()
}

/// The figure in the line of the summary that begins so.
fn figure(output: &Output, name: &str) -> u64 {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with(name));
    let line =
        line.unwrap_or_else(|| panic!("no {name} in:\n{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    line[name.len()..].trim().parse().unwrap()
}

fn every_worker_keeps_the_order(store: &str) {
    let output = run(store, &["--workers", "3", "--kill", "3", "--fail", "0.2", "--seed", "7"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((figure(&output, "events"), figure(&output, "workers killed")), (3_514, 3));
    assert_eq!((figure(&output, "order violations"), figure(&output, "events missing")), (0, 0));
    assert!(figure(&output, "of them failed") > 500, "a show without failures shows nothing");
}

#[test]
fn workers_that_share_one_sqlite_file_keep_every_entitys_order_while_some_are_killed() {
    let directory = tempfile::tempdir().unwrap();
    every_worker_keeps_the_order(&format!("sqlite:{}", directory.path().join("failures.db").display()));
}

#[cfg(feature = "services")]
#[test]
fn workers_that_share_one_postgresql_keep_every_entitys_order_while_some_are_killed() {
    every_worker_keeps_the_order(&std::env::var("DATABASE_URL").expect("./tests/run starts PostgreSQL"));
}

#[test]
fn an_address_that_names_no_store_is_refused_in_plain_words() {
    let output = run("mysql://localhost/x", &[]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--store is neither postgres://… nor sqlite:PATH"), "{said}");
}
