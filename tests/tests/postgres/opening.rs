//! Scenario 38, and everything else that is found out when a log is opened.

use std::time::Duration;

use ordered_consumer::{FailureLog, FailureLogError, PostgresFailureLog, gate::LayoutStep};
use ordered_consumer_tests::postgres::{TestSchema, pooled_url, url};

use crate::support::{apply, arrive, consumer, fail, held, stream};

async fn refused(schema: &TestSchema, url: &str) -> FailureLogError {
    schema.builder_at(url).connect().await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_refused_and_left_alone() {
    let schema = TestSchema::new();
    schema.builder().run_migrations().await.unwrap();
    schema
        .execute(
            "insert into {schema}._ordered_consumer_migrations (version, description, success, checksum, execution_time) \
             values (99, 'of the future', true, '', 0)",
        )
        .await;
    for migrates in [true, false] {
        let error = schema.builder().migrate(migrates).connect().await.map(drop).unwrap_err();
        assert!(matches!(error, FailureLogError::SchemaVersion { found: 99, known: 2, .. }), "{error:?}");
        assert!(error.to_string().contains("upgrade this one"), "{error}");
    }
}

#[tokio::test]
async fn a_schema_of_another_build_is_refused() {
    let schema = TestSchema::new();
    schema.builder().run_migrations().await.unwrap();
    schema.execute("delete from {schema}._ordered_consumer_migrations where version > 1").await;
    schema.execute("update {schema}._ordered_consumer_migrations set version = 0").await;
    let error = schema.builder().migrate(false).connect().await.map(drop).unwrap_err();
    assert!(matches!(error, FailureLogError::SchemaVersion { found: 0, known: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn a_schema_of_an_earlier_program_is_brought_up_to_date_with_what_is_in_it() {
    let schema = TestSchema::new();
    let log = schema.builder().connect().await.unwrap();
    apply(&log, &[fail("e", 1)]).await;
    schema.execute("drop table {schema}.layout").await;
    schema.execute("delete from {schema}._ordered_consumer_migrations where version > 1").await;
    let error = schema.builder().migrate(false).connect().await.map(drop).unwrap_err();
    assert!(matches!(error, FailureLogError::SchemaVersion { found: 1, known: 2, .. }), "{error:?}");
    let log = schema.builder().connect().await.unwrap();
    assert_eq!(held(&log, "e").await.len(), 1);
    let step = LayoutStep::See { identity: None, streams: 3 };
    assert_eq!(log.layout(&consumer(), &stream(), &step).await.unwrap().admitted, 3);
}

#[tokio::test]
async fn tables_that_are_not_there_and_must_not_be_made_are_asked_for() {
    let schema = TestSchema::new();
    let error = schema.builder().migrate(false).connect().await.map(drop).unwrap_err();
    assert!(error.to_string().contains("PostgresFailureLog::migrate"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_role_that_may_not_make_tables_is_told_so_and_works_where_they_are() {
    let mut schema = TestSchema::new();
    let role = schema.role().await;
    let elsewhere = TestSchema::new();
    let error = refused(&elsewhere, &role).await;
    assert!(matches!(error, FailureLogError::Refused { .. }), "{error:?}");
    let log = schema.builder_at(&role).connect().await.unwrap();
    apply(&log, &[fail("e", 1)]).await;
    for forbidden in ["create table {schema}.x ()", "drop table {schema}.gate", "truncate {schema}.event"] {
        let text = format!("set role {{schema}}_role; {forbidden}").replace("{schema}", &schema.name);
        let mut connection = schema.connection().await;
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap_err();
        let code = refused.as_database_error().unwrap().code();
        assert_eq!(code.as_deref(), Some("42501"), "{forbidden}: {refused}");
    }
    log.close().await;
}

#[tokio::test]
async fn a_wrong_address_is_told_what_is_wrong_with_it_and_never_with_its_password() {
    let schema = TestSchema::new();
    let (user, place) = url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (server, _) = place.split_once('/').unwrap();
    let no_database = refused(&schema, &format!("{user}@{server}/no_such_database")).await;
    assert!(no_database.to_string().contains("no_such_database"), "{no_database}");
    assert!(matches!(no_database, FailureLogError::BadUrl { .. }), "{no_database:?}");
    let no_role = refused(&schema, &format!("postgres://no_such_role:sesame@{place}")).await;
    assert!(matches!(no_role, FailureLogError::BadUrl { .. }), "{no_role:?}");
    assert!(!format!("{no_role:?} {no_role}").contains("sesame"), "{no_role:?}");
    let other = refused(&schema, "mysql://root:sesame@localhost/x").await;
    assert!(other.to_string().contains("postgres://") && !other.to_string().contains("sesame"), "{other}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let schema = TestSchema::new();
    // Bound and let go of: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = refused(&schema, &format!("postgres://somebody@{free}/x")).await;
    assert!(matches!(error, FailureLogError::Unavailable { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_server_on_which_nothing_may_be_written_is_refused() {
    let mut schema = TestSchema::new();
    let role = schema.role().await;
    schema.execute("alter role {schema}_role set default_transaction_read_only = on").await;
    let error = refused(&schema, &role).await;
    assert!(matches!(error, FailureLogError::BadUrl { .. }), "{error:?}");
    assert!(error.to_string().contains("connect to the primary"), "{error}");
}

#[tokio::test]
async fn it_is_described_without_credentials() {
    let mut schema = TestSchema::new();
    let role = schema.role().await;
    let log = schema.builder_at(&role).connect().await.unwrap();
    let described = log.describe();
    assert!(described.starts_with("PostgreSQL (") && described.ends_with("), durable"), "{described}");
    assert!(described.contains(&schema.name));
    for shown in [described, format!("{log:?}"), format!("{:?}", schema.builder_at(&role))] {
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn many_processes_may_make_the_tables_at_once() {
    let schema = TestSchema::new();
    let opening: Vec<_> = (0..8).map(|_| tokio::spawn(schema.builder().connect())).collect();
    for opened in opening {
        apply(&opened.await.unwrap().unwrap(), &[fail("e", 1)]).await;
    }
    let applied = "select count(*)::text from {schema}._ordered_consumer_migrations";
    assert_eq!(schema.rows(applied).await, ["2"]);
}

/// What a session says of `synchronous_commit` when it inserts an event.
async fn watch_commits(schema: &TestSchema) {
    schema
        .execute(
            "create table {schema}.seen (value text); grant insert on {schema}.seen to public; \
             create function {schema}.see() returns trigger language plpgsql as $$ begin \
               insert into {schema}.seen values (current_setting('synchronous_commit')); return new; end $$; \
             create trigger see before insert on {schema}.event for each row execute function {schema}.see()",
        )
        .await;
}

#[tokio::test]
async fn commits_are_never_weaker_than_durable_and_may_be_stricter() {
    let mut schema = TestSchema::new();
    let role = schema.role().await;
    watch_commits(&schema).await;
    for (index, (configured, used)) in
        [("off", "on"), ("on", "on"), ("local", "local"), ("remote_apply", "remote_apply")]
            .into_iter()
            .enumerate()
    {
        let alter = format!(
            "alter role {{schema}}_role set synchronous_commit = {configured}; truncate {{schema}}.seen"
        );
        schema.execute(&alter).await;
        let log = schema.builder_at(&role).connect().await.unwrap();
        apply(&log, &[fail("e", index as u128)]).await;
        assert_eq!(schema.rows("select value from {schema}.seen").await, [used], "{configured}");
    }
}

#[tokio::test]
async fn behind_a_pooler_nothing_is_left_in_sessions_that_others_use() {
    let schema = TestSchema::new();
    let log = schema.builder_at(&pooled_url()).connect().await.unwrap();
    for index in 1..20 {
        apply(&log, &[fail("e", index), arrive("f", index)]).await;
        log.which_gated(&consumer(), &stream(), &["e".into()]).await.unwrap();
    }
    assert_eq!(held(&log, "e").await.len(), 19);
    let pooler = TestSchema::at(&pooled_url());
    // More looks than the pooler has connections.
    for _ in 0..12 {
        assert_eq!(pooler.rows("select count(*)::text from pg_prepared_statements").await, ["0"]);
        let path = pooler.rows("select current_setting('search_path')").await;
        assert!(!path[0].contains(&schema.name), "{path:?}");
        assert_eq!(pooler.rows("select current_setting('jit')").await, ["on"]);
    }
}

#[tokio::test]
async fn the_time_is_the_servers() {
    let schema = TestSchema::new();
    let log = schema.builder().connect().await.unwrap();
    let micros = "select ((extract(epoch from clock_timestamp()) * 1000000)::bigint)::text";
    let before: i64 = schema.rows(micros).await[0].parse().unwrap();
    let now = apply(&log, &[fail("e", 1)]).await.now.as_micros();
    let (_, looked) = log.which_gated(&consumer(), &stream(), &[]).await.unwrap();
    let after: i64 = schema.rows(micros).await[0].parse().unwrap();
    assert!(before <= now && now <= looked.as_micros() && looked.as_micros() <= after);
}

#[tokio::test]
async fn a_paused_clock_of_tokio_does_not_end_calls_early() {
    let schema = TestSchema::new();
    let log: PostgresFailureLog = schema.builder().connect().await.unwrap();
    tokio::time::pause();
    for index in 1..20 {
        apply(&log, &[fail("e", index)]).await;
    }
    tokio::time::advance(Duration::from_secs(3_600)).await;
    assert_eq!(held(&log, "e").await.len(), 19);
    tokio::time::resume();
}
