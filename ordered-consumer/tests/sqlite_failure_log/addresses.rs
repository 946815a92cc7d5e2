//! Which files are taken for a log, and which are not.

use ordered_consumer::{FailureLog, FailureLogError, SqliteFailureLog, gate::LayoutStep};
use sqlx::Connection;

use crate::support::{Bench, apply, consumer, event, fail, held, stream};

#[tokio::test]
async fn an_address_opens_the_file_that_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("with space, % and ü.db");
    let log = SqliteFailureLog::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    assert!(path.is_file());
    assert_eq!(log.describe(), format!("SQLite ({}), durable", path.display()));
}

#[tokio::test]
async fn a_missing_directory_is_named_and_not_created() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let error = SqliteFailureLog::open(missing.join("failures.db")).await.unwrap_err();
    assert!(matches!(error, FailureLogError::BadUrl { .. }), "{error:?}");
    assert!(error.to_string().contains("missing` does not exist"), "{error}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_database_in_memory_is_refused_and_the_memory_log_named() {
    for error in [
        SqliteFailureLog::connect("sqlite::memory:").await.unwrap_err(),
        SqliteFailureLog::open(":memory:").await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("MemoryFailureLog"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "remember the milk ".repeat(100)).unwrap();
    let error = SqliteFailureLog::open(&path).await.unwrap_err();
    assert!(matches!(error, FailureLogError::Corrupt { .. }), "{error:?}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("remember the milk"));
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let bench = Bench::new().await;
    let mut stranger = bench.stranger().await;
    let newer = "insert into _ordered_consumer_migrations values (7, 'newer', '2030-01-01', 1, x'00', 1)";
    sqlx::query(newer).execute(&mut stranger).await.unwrap();
    stranger.close().await.unwrap();
    let error = SqliteFailureLog::open(bench.path()).await.unwrap_err();
    assert!(matches!(error, FailureLogError::SchemaVersion { found: 7, known: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_of_an_earlier_program_is_brought_up_to_date_with_what_is_in_it() {
    let bench = Bench::new().await;
    apply(&bench.log, &[fail(event("e", 1))]).await;
    bench.log.close().await.unwrap();
    let mut stranger = bench.stranger().await;
    for undo in ["drop table layout", "delete from _ordered_consumer_migrations where version > 1"] {
        sqlx::query(undo).execute(&mut stranger).await.unwrap();
    }
    stranger.close().await.unwrap();
    let log = SqliteFailureLog::open(bench.path()).await.unwrap();
    assert_eq!(held(&log, "e").await.len(), 1);
    let step = LayoutStep::See { identity: None, streams: 3 };
    assert_eq!(log.layout(&consumer(), &stream(), &step).await.unwrap().admitted, 3);
}

#[tokio::test]
async fn a_users_own_migrations_in_the_same_file_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut app = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("create table _sqlx_migrations (version integer)").execute(&mut app).await.unwrap();
    sqlx::query("insert into _sqlx_migrations values (99)").execute(&mut app).await.unwrap();
    SqliteFailureLog::open(&path).await.unwrap();
    let versions: Vec<(i64,)> =
        sqlx::query_as("select version from _sqlx_migrations").fetch_all(&mut app).await.unwrap();
    assert_eq!(versions, [(99,)]);
}

#[tokio::test]
async fn what_the_log_promises_of_durability_is_what_the_file_is_set_to() {
    let bench = Bench::new().await;
    let mut stranger = bench.stranger().await;
    let (mode,): (String,) = sqlx::query_as("pragma journal_mode").fetch_one(&mut stranger).await.unwrap();
    assert_eq!(mode, "wal");
}
