//! Several processes on one SQLite file, killed and stopped at random moments: judged by what their handlers recorded.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::{path::Path, time::Duration};

use ordered_consumer::{ConsumerName, FailureLog, SqliteFailureLog, StreamName, gate::TakeOver};
use ordered_consumer_tests::processes::driver::{Driver, SharedStore};
use tokio::runtime::Runtime;

struct Sqlite {
    runtime: Runtime,
    log: SqliteFailureLog,
    address: String,
}

impl Sqlite {
    fn create(directory: &Path) -> Self {
        let path = directory.join("failures.db");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let log = runtime.block_on(SqliteFailureLog::open(&path)).unwrap();
        let log = log.with_busy_timeout(Duration::from_millis(300));
        Self { runtime, log, address: format!("sqlite:{}", path.display()) }
    }
}

impl SharedStore for Sqlite {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn is_writable(&self) -> bool {
        let (consumer, stream) = (ConsumerName::new("probe").unwrap(), StreamName::new("probe").unwrap());
        self.runtime.block_on(async {
            let Ok(record) = self.log.stream(&consumer, &stream).await else { return false };
            let seen_generation = record.map_or(0, |record| record.generation);
            let asked = TakeOver { seen_generation, identity: None, position: None, uncommitted_max: 1 };
            self.log.take_over(&consumer, &stream, &asked).await.is_ok()
        })
    }

    fn gated_entities(&self) -> u64 {
        let totals = self.runtime.block_on(self.log.totals(&ConsumerName::new("billing").unwrap()));
        // Somebody who writes may keep it waiting; it is asked again.
        totals.map_or(u64::MAX, |totals| totals.gated_entities)
    }
}

fn run(seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::create(directory.path());
    let verdict = Driver::new(Path::new(env!("CARGO_BIN_EXE_worker")), directory.path(), &store, seed).run();
    if !verdict.wrong.is_empty() {
        let kept = directory.keep();
        panic!("seed {seed}, {}: {:#?}", kept.display(), verdict.wrong);
    }
    assert!(verdict.failures > 20 && verdict.runs >= 300, "too little happened: {verdict:?}");
    println!("seed {seed}: {verdict:?}");
}

macro_rules! seeds {
    ($($name:ident: $seed:literal;)*) => {
        $(
            #[test]
            fn $name() {
                run($seed);
            }
        )*
    };
}

seeds! {
    killed_and_stopped_processes_lose_and_overtake_nothing_1: 1;
    killed_and_stopped_processes_lose_and_overtake_nothing_2: 2;
    killed_and_stopped_processes_lose_and_overtake_nothing_3: 3;
    killed_and_stopped_processes_lose_and_overtake_nothing_4: 4;
}
