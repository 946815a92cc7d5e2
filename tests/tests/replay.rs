//! The main job: an event log replayed with failures, crashes and restarts, on each store, keeps every entity's order
//! and loses nothing.
//!
//! On the real log `receipt.csv` where it is there, and on the examples' own otherwise. What is judged is the trace that
//! the program writes, by a checker that shares nothing with the product or the example.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "replay/trace_check.rs"]
mod trace_check;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use trace_check::{Log, Trace};

/// The log to replay, and its entity column.
fn input() -> (PathBuf, &'static str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let real = root.join("../shared/data/receipt.csv");
    if real.exists() {
        (real, "case:concept:name")
    } else {
        (root.join("examples/data/orders.csv"), "order_id")
    }
}

/// A directory, the program's arguments for the log, and what the program leaves.
struct Bench {
    dir: TempDir,
    log: Log,
    file: PathBuf,
    column: &'static str,
}

impl Bench {
    fn new() -> Self {
        let (file, column) = input();
        Self { dir: tempfile::tempdir().unwrap(), log: Log::read(&file, column), file, column }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn trace_path(&self) -> PathBuf {
        self.path("trace.jsonl")
    }

    /// The program's arguments for a SQLite file in the directory.
    fn sqlite(&self) -> String {
        format!("sqlite:{}", self.path("failures.db").display())
    }

    /// The program, about to replay the log in a process of its own.
    fn program(&self, args: &[&str]) -> Command {
        let mut program = program(&["--file", self.file.to_str().unwrap(), "--entity", self.column]);
        program.arg("--trace").arg(self.trace_path()).args(args);
        program
    }

    fn run(&self, args: &[&str]) -> Output {
        self.program(args).output().unwrap()
    }

    fn trace(&self) -> Trace {
        Trace::read(&self.trace_path(), &self.log)
    }
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay-program"));
    command.args(args).env_remove("RUST_LOG");
    command
}

#[track_caller]
fn assert_status(output: &Output, status: i32) {
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}\n{error}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The number in a row of the printed table.
#[track_caller]
fn count(output: &Output, name: &str) -> usize {
    let out = text(&output.stdout);
    let row = out.lines().find_map(|line| line.trim_start().strip_prefix(name));
    row.unwrap_or_else(|| panic!("no {name} in\n{out}")).split_whitespace().next().unwrap().parse().unwrap()
}

fn keeps_order_through_crashes_and_handles_everything_once_released(store: Option<&str>) {
    let bench = Bench::new();
    let store = store.map_or_else(|| bench.sqlite(), str::to_owned);
    let output =
        bench.run(&["--store", &store, "--crash", "5", "--fail", "0.1", "--park", "3", "--release-parked"]);
    assert_status(&output, 0);
    assert_eq!(count(&output, "order violations"), 0);
    assert_eq!(count(&output, "crashes"), 5);
    assert_eq!(count(&output, "handled"), bench.log.rows());
    let trace = bench.trace();
    trace.assert_in_order(5);
    assert_eq!(trace.unhandled(), [0_usize; 0]);
    assert!(trace.failures() > bench.log.rows() / 20, "{} failures", trace.failures());
}

#[test]
fn in_memory_five_crashes_cost_neither_order_nor_events() {
    keeps_order_through_crashes_and_handles_everything_once_released(Some("memory"));
}

#[test]
fn on_sqlite_five_crashes_cost_neither_order_nor_events() {
    keeps_order_through_crashes_and_handles_everything_once_released(None);
}

#[cfg(feature = "services")]
#[test]
fn on_postgres_five_crashes_cost_neither_order_nor_events() {
    let url = ordered_consumer_tests::postgres::url();
    keeps_order_through_crashes_and_handles_everything_once_released(Some(&url));
}

#[cfg(feature = "services")]
#[test]
fn on_postgres_an_entity_parks_and_what_is_behind_it_is_held() {
    parks_what_fails_for_good_and_holds_what_is_behind_it(Some(&ordered_consumer_tests::postgres::url()));
}

fn parks_what_fails_for_good_and_holds_what_is_behind_it(store: Option<&str>) {
    let bench = Bench::new();
    let store = store.map_or_else(|| bench.sqlite(), str::to_owned);
    let output = bench.run(&["--store", &store, "--fail", "0", "--park", "3"]);
    assert_status(&output, 0);
    assert_eq!(count(&output, "parked"), 3);
    let trace = bench.trace();
    trace.assert_in_order(0);
    let unhandled = trace.unhandled();
    assert!(unhandled.len() >= 3);
    assert_eq!(count(&output, "handled"), bench.log.rows() - unhandled.len());
    // Of each parked entity everything from the parked event on, and nothing of any other.
    assert_eq!(bench.log.entities_that_end_with(&unhandled), 3);
}

#[test]
fn in_memory_an_entity_parks_and_what_is_behind_it_is_held() {
    parks_what_fails_for_good_and_holds_what_is_behind_it(Some("memory"));
}

#[test]
fn on_sqlite_an_entity_parks_and_what_is_behind_it_is_held() {
    parks_what_fails_for_good_and_holds_what_is_behind_it(None);
}

#[test]
fn without_arguments_it_replays_its_own_log_with_failures_and_one_parked_entity() {
    let output = program(&[]).output().unwrap();
    assert_status(&output, 0);
    assert!(count(&output, "failures") > 0);
    assert_eq!((count(&output, "parked"), count(&output, "order violations")), (1, 0));
    assert!(text(&output.stdout).contains("Timeline of order-"));
}

#[test]
fn a_plain_retry_queue_misorders_entities_with_the_same_log_seed_and_failures() {
    let bench = Bench::new();
    let output = bench.run(&["--store", "memory", "--compare", "naive"]);
    assert_status(&output, 0);
    assert!(count(&output, "misordered") > 0);
    assert_eq!(count(&output, "order violations"), 0);
}

#[test]
fn a_violated_order_is_found_and_gives_exit_status_1() {
    let bench = Bench::new();
    let output = bench.run(&["--break-order"]);
    assert_status(&output, 1);
    assert!(count(&output, "order violations") > 0);
    assert!(!bench.trace().is_in_order(0), "the independent checker finds it too");
}

#[test]
fn an_interrupted_replay_resumes_on_its_sqlite_file() {
    let bench = Bench::new();
    let (store, half) = (bench.sqlite(), (bench.log.rows() / 2).to_string());
    let interrupted = bench.run(&["--store", &store, "--interrupt-after", &half]);
    assert_status(&interrupted, 130);
    let before = bench.trace();
    before.assert_in_order(0);
    assert!(before.unhandled().len() > bench.log.rows() / 10, "there was something left to do");

    let resumed = bench.run(&["--store", &store, "--release-parked"]);
    assert_status(&resumed, 0);
    let trace = bench.trace();
    assert!(trace.begins_with(&before), "what was done before is in the record, and stays there");
    trace.assert_in_order(1);
    assert_eq!(trace.unhandled(), [0_usize; 0]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_lets_running_handlers_end_and_the_same_command_resumes() {
    let bench = Bench::new();
    let store = bench.sqlite();
    // Slow enough that there is much left to do, however late the signal comes.
    let program = bench
        .program(&["--store", &store, "--run-ms-max", "200"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let program = program.unwrap();
    let journal = bench.path("failures.db.replay.jsonl");
    while fs::read(&journal).unwrap_or_default().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &program.id().to_string()]).status().unwrap().success());
    let interrupted = program.wait_with_output().unwrap();
    assert_status(&interrupted, 130);
    assert!(text(&interrupted.stdout).contains("The same command resumes it"));

    assert_status(&bench.run(&["--store", &store, "--release-parked"]), 0);
    let trace = bench.trace();
    trace.assert_in_order(1);
    assert_eq!(trace.unhandled(), [0_usize; 0]);
}

#[test]
fn a_replay_whose_process_died_twice_resumes_on_its_sqlite_file() {
    let bench = Bench::new();
    let (store, third) = (bench.sqlite(), (bench.log.rows() / 3).to_string());
    for _ in 0..2 {
        let died = bench.run(&["--store", &store, "--fail", "0.1", "--abort-after", &third]);
        assert_eq!(died.status.code(), None, "killed by a signal");
    }
    let resumed = bench.run(&["--store", &store, "--fail", "0.1", "--crash", "1", "--release-parked"]);
    assert_status(&resumed, 0);
    let trace = bench.trace();
    trace.assert_in_order(3);
    assert_eq!(trace.unhandled(), [0_usize; 0]);
}

#[test]
fn a_sqlite_file_of_another_replay_is_refused() {
    let bench = Bench::new();
    let store = bench.sqlite();
    assert_status(&bench.run(&["--store", &store, "--interrupt-after", "100"]), 130);
    let refused = bench.run(&["--store", &store, "--seed", "2"]);
    assert_status(&refused, 2);
    assert!(text(&refused.stderr).contains("with seed 1, not 2"), "{}", text(&refused.stderr));

    fs::remove_file(bench.path("failures.db.replay.json")).unwrap();
    let refused = bench.run(&["--store", &store]);
    assert_status(&refused, 2);
    assert!(text(&refused.stderr).contains("is missing"), "{}", text(&refused.stderr));
}

#[test]
fn bad_input_is_refused_with_exit_status_2_and_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let unreadable = dir.path().join("short.csv");
    fs::write(&unreadable, "id,event\na,x\nb\n").unwrap();
    let unreadable = unreadable.to_str().unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["--file", "no-such.csv", "--entity", "id"], "cannot read no-such.csv"),
        (&["--file", unreadable, "--entity", "case"], "no column `case`; it has: id, event"),
        (&["--file", unreadable, "--entity", "id"], "cannot read row 1"),
        (&["--fail", "1.5"], "a chance is a number from 0 to 1"),
        (&["--park", "1000"], "more than the 300 entities"),
        (&["--store", "postgres:x"], "postgres"),
        (&["--store", "sqlite:/no/such/directory/failures.db"], "/no/such/directory"),
        (&["--trace", "/no/such/directory/trace.jsonl"], "/no/such/directory"),
    ];
    for (args, reason) in cases {
        let output = program(args).output().unwrap();
        assert_status(&output, 2);
        let error = text(&output.stderr);
        assert!(error.contains(reason), "{args:?}: {error}");
    }
}
