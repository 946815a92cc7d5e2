//! No statement that events or relays wait for reads a whole table, at a hundred thousand gates.

use ordered_consumer::FailureLog;
use ordered_consumer_tests::postgres::TestSchema;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use crate::support::{apply, arrive, claim, consumer, fail, held};

macro_rules! statements {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../ordered-consumer/src/postgres/sql/", $name, ".sql")))),+]
    };
}

/// What batches and relays run, under the settings of their transactions.
const WRITES: [(&str, &str); 14] = statements![
    "load",
    "load_logged",
    "load_passed",
    "load_outcomes",
    "load_conflicts",
    "load_due",
    "next_due",
    "update_gates",
    "update_held",
    "delete_gates",
    "delete_events",
    "read_events",
    "lock_stream",
    "find_tombstones",
];

/// What is only read, with the planner as it is.
const READS: [(&str, &str); 7] = statements![
    "next_due",
    "which_gated",
    "held_events",
    "gated_entities",
    "paused_entities",
    "load_stream",
    "audit_entity",
];

const SETTINGS: &str = "set enable_seqscan = off; \
                        set enable_hashjoin = off; set enable_mergejoin = off; set enable_bitmapscan = off";

async fn plan(connection: &mut PgConnection, name: &str, text: &str) -> String {
    let parameters = (1..40).rev().find(|number| text.contains(&format!("${number}"))).unwrap_or(0);
    let nulls = vec!["null"; parameters].join(", ");
    let prepare = format!("deallocate all; prepare hot as {text}");
    connection.execute(AssertSqlSafe(prepare)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let explain = format!("explain execute hot({nulls})");
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(explain))).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
}

fn check(name: &str, plan: &str) {
    assert!(plan.contains("Index") || plan.contains("Scan"), "{name} has no plan: {plan}");
    for table in ["gate", "event", "conflict", "audit", "original"] {
        assert!(!plan.contains(&format!("Seq Scan on {table}")), "{name}:\n{plan}");
    }
    assert!(!plan.contains("Hash Join") && !plan.contains("Merge Join"), "{name}:\n{plan}");
}

#[tokio::test]
async fn no_hot_statement_reads_a_whole_table_at_a_hundred_thousand_gates() {
    let schema = TestSchema::new();
    let log = schema.builder().connect().await.unwrap();
    apply(&log, &[fail("first", 1)]).await;
    schema
        .execute(
            "insert into {schema}.gate select g.stream_id, g.consumer_id, g.attempts, g.due_at + n, g.takes, \
               g.held_events, g.held_bytes, g.conflicts, g.version + n, g.since, g.first_failed_at, g.run_was_lost, \
               ('entity ' || n)::bytea, g.resolved, g.head, g.released, g.tail, g.claim, g.parked, \
               g.first_failure, g.last_failure, g.error_class \
             from {schema}.gate g, generate_series(1, 100000) n; \
             insert into {schema}.event select e.stream_id, e.bytes, e.time, false, ('entity ' || n)::bytea, e.idx, \
               e.digest, e.id, e.event_type, e.headers, e.payload \
             from {schema}.event e, generate_series(1, 100000) n; \
             analyze {schema}.gate; analyze {schema}.event",
        )
        .await;
    let mut connection = schema.connection().await;
    let path =
        format!("set search_path = {}, pg_temp; set plan_cache_mode = force_generic_plan", schema.name);
    connection.execute(AssertSqlSafe(path)).await.unwrap();
    for (name, text) in READS {
        check(name, &plan(&mut connection, name, text).await);
    }
    connection.execute(SETTINGS).await.unwrap();
    for (name, text) in WRITES {
        check(name, &plan(&mut connection, name, text).await);
    }
    // And what the statistics count: nothing was read from end to end while a batch of each kind ran.
    let scans = "select sum(seq_scan)::text from pg_stat_user_tables where schemaname = '{schema}' \
                 and relname in ('gate', 'event', 'conflict')";
    let mut counted = schema.connection().await;
    let scans = scans.replace("{schema}", &schema.name);
    let count = async |connection: &mut PgConnection| {
        connection.execute("select pg_stat_clear_snapshot()").await.unwrap();
        let row = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(scans.clone()))).await.unwrap();
        row.get::<String, _>(0)
    };
    let before = count(&mut counted).await;
    for round in 0..8_u128 {
        let entities = (0..100).map(|number| format!("entity {}", 1 + number * 997));
        let holds: Vec<_> = entities.map(|entity| arrive(entity, 10 + round)).collect();
        apply(&log, &holds).await;
        apply(&log, &[claim("entity 7", 1, 1, round)]).await;
        held(&log, "entity 998").await;
        log.take_due(&consumer(), &crate::support::settings(), 10).await.unwrap();
    }
    // Sessions tell the statistics what they have done when they end, if not before.
    log.close().await;
    assert_eq!(count(&mut counted).await, before);
}
