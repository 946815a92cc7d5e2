//! Several processes on one PostgreSQL, killed and stopped at random moments, while its connections are terminated and the
//! server is restarted: judged by what their handlers recorded.
#![cfg(feature = "services")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::{path::Path, process::Command};

use ordered_consumer::{ConsumerName, FailureLog, PostgresFailureLog};
use ordered_consumer_tests::{
    postgres::{TestSchema, variable},
    processes::driver::{Driver, SharedStore},
};
use tokio::runtime::Runtime;

/// A server in a directory of its own, stopped when this is dropped.
struct Server(tempfile::TempDir);

impl Server {
    fn run(&self, action: &str) -> String {
        let mut command = Command::new(variable("POSTGRES_SERVICE"));
        let command = command.arg(action).arg(self.0.path().join("server"));
        let ran = command.env_remove("DATABASE_URL").env_remove("PGBOUNCER_URL").output().unwrap();
        assert!(ran.status.success(), "{action}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run("stop");
    }
}

struct Postgres {
    runtime: Runtime,
    log: PostgresFailureLog,
    schema: TestSchema,
    url: String,
    server: Server,
    /// In which round the server is restarted.
    restarts_in: u64,
}

impl Postgres {
    fn start(restarts_in: u64) -> Self {
        let server = Server(tempfile::tempdir().unwrap());
        let told = server.run("start");
        let url = told.lines().find_map(|line| line.strip_prefix("export DATABASE_URL=")).unwrap().to_owned();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let schema = TestSchema::at(&url);
        let log = runtime.block_on(schema.builder().connect()).unwrap();
        Self { runtime, log, schema, url, server, restarts_in }
    }
}

impl SharedStore for Postgres {
    fn address(&self) -> String {
        format!("{}:{}", self.schema.name, self.url)
    }

    // A process that stands still holds at most the rows that it writes: the server ends what stays idle in a transaction.
    // Whoever waits for such a row waits for as long; it is told apart by asking who waits.
    fn is_writable(&self) -> bool {
        let waiting = "select count(*)::text from pg_stat_activity where wait_event_type = 'Lock'";
        self.runtime.block_on(self.schema.rows(waiting)) == ["0"]
    }

    fn gated_entities(&self) -> u64 {
        let totals = self.runtime.block_on(self.log.totals(&ConsumerName::new("billing").unwrap()));
        totals.map_or(u64::MAX, |totals| totals.gated_entities)
    }

    fn harm(&self, round: u64) -> bool {
        if round == self.restarts_in {
            self.server.run("restart");
            return true;
        }
        if round % 3 == 1 {
            // Every connection but the one that says so, whatever it is in the middle of.
            let terminated = "select count(pg_terminate_backend(pid))::text from pg_stat_activity \
                              where pid <> pg_backend_pid() and backend_type = 'client backend'";
            let terminated = self.runtime.block_on(self.schema.rows(terminated));
            assert_ne!(terminated, ["0"], "nobody was connected");
            return true;
        }
        false
    }
}

fn run(seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let store = Postgres::start(4 + seed % 3);
    let verdict = Driver::new(Path::new(env!("CARGO_BIN_EXE_worker")), directory.path(), &store, seed).run();
    if !verdict.wrong.is_empty() {
        let kept = directory.keep();
        panic!("seed {seed}, {}: {:#?}", kept.display(), verdict.wrong);
    }
    assert!(verdict.failures > 20 && verdict.runs >= 300, "too little happened: {verdict:?}");
    println!("seed {seed}: {verdict:?}");
}

#[test]
fn killed_processes_terminated_connections_and_a_restarted_server_lose_and_overtake_nothing_1() {
    run(1);
}

#[test]
fn killed_processes_terminated_connections_and_a_restarted_server_lose_and_overtake_nothing_2() {
    run(2);
}

#[test]
fn killed_processes_terminated_connections_and_a_restarted_server_lose_and_overtake_nothing_3() {
    run(3);
}
