//! The failure log in PostgreSQL keeps every rule of the suite: plainly, as a role with the least rights, as
//! applications and fault tests hold it, at every isolation level, and behind PgBouncer in transaction mode.
#![cfg(feature = "services")]
#![expect(clippy::unwrap_used, reason = "without a database there is nothing to test")]

use std::sync::Arc;

use ordered_consumer::{
    Clock, FailureLog, PostgresFailureLog, Timestamp,
    testing::{FaultyFailureLog, failure_log::Bench},
};
use ordered_consumer_tests::postgres::{TestSchema, pooled_url};

fn clock() -> Clock {
    Clock::manual(Timestamp::from_micros(1_700_000_000_000_000))
}

async fn log() -> (PostgresFailureLog, Clock, TestSchema) {
    let (schema, clock) = (TestSchema::new(), clock());
    let log = schema.builder().clock(clock.clone()).connect().await.unwrap();
    (log, clock, schema)
}

async fn plain_bench() -> Bench {
    let (log, clock, schema) = log().await;
    Bench::new(log, clock).keeping(schema)
}

async fn shared_bench() -> Bench {
    let (log, clock, schema) = log().await;
    let log: Arc<dyn FailureLog> = Arc::new(log);
    Bench::new(log, clock).keeping(schema)
}

async fn faulty_bench() -> Bench {
    let (log, clock, schema) = log().await;
    Bench::new(FaultyFailureLog::new(log), clock).keeping(schema)
}

async fn role_bench() -> Bench {
    let (mut schema, clock) = (TestSchema::new(), clock());
    let url = schema.role().await;
    let log = schema.builder_at(&url).clock(clock.clone()).migrate(false).connect().await.unwrap();
    Bench::new(log, clock).keeping(schema)
}

async fn pooled_bench() -> Bench {
    let (schema, clock) = (TestSchema::new(), clock());
    let log = schema.builder_at(&pooled_url()).clock(clock.clone()).connect().await.unwrap();
    Bench::new(log, clock).keeping(schema)
}

/// A log whose role has this isolation level as its default.
async fn bench_at(level: &str) -> Bench {
    let (mut schema, clock) = (TestSchema::new(), clock());
    let url = schema.role().await;
    let level = format!("alter role {{schema}}_role set default_transaction_isolation = '{level}'");
    schema.execute(&level).await;
    let log = schema.builder_at(&url).clock(clock.clone()).connect().await.unwrap();
    Bench::new(log, clock).keeping(schema)
}

mod plainly {
    ordered_consumer::failure_log_conformance!(super::plain_bench());
}

mod behind_an_arc {
    ordered_consumer::failure_log_conformance!(super::shared_bench());
}

mod with_no_faults_planned {
    ordered_consumer::failure_log_conformance!(super::faulty_bench());
}

mod as_a_role_with_the_least_rights {
    ordered_consumer::failure_log_conformance!(super::role_bench());
}

mod behind_pgbouncer {
    ordered_consumer::failure_log_conformance!(super::pooled_bench());
}

mod at_repeatable_read {
    ordered_consumer::failure_log_conformance!(super::bench_at("repeatable read"));
}

mod at_serializable {
    ordered_consumer::failure_log_conformance!(super::bench_at("serializable"));
}
