//! No statement that a batch makes reads a whole table, however long its list of rows is.

use ordered_consumer::SqliteFailureLog;
use sqlx::{ConnectOptions, Row};

/// The statements that take a list of rows, with the width of each.
const LISTS: [(&str, &str, usize); 6] = [
    ("load", include_str!("../../src/sqlite/sql/load.sql"), 6),
    ("load_passed", include_str!("../../src/sqlite/sql/load_passed.sql"), 5),
    ("load_conflicts", include_str!("../../src/sqlite/sql/load_conflicts.sql"), 5),
    ("update_held", include_str!("../../src/sqlite/sql/update_held.sql"), 4),
    ("delete_events", include_str!("../../src/sqlite/sql/delete_events.sql"), 3),
    ("read_events", include_str!("../../src/sqlite/sql/read_events.sql"), 4),
];

#[tokio::test]
async fn no_batch_reads_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failures.db");
    drop(SqliteFailureLog::open(&path).await.unwrap());
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    for (name, template, width) in LISTS {
        let row = format!("({})", vec!["?"; width].join(", "));
        // A long list is what once made the planner index the list and read every gate.
        let statement = template.replace("{rows}", &vec![row; 512].join(", "));
        let explained = sqlx::AssertSqlSafe(format!("explain query plan {statement}"));
        let plan = sqlx::query(explained).fetch_all(&mut connection).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
        assert!(!steps.is_empty(), "{name} has no plan");
        for step in &steps {
            let scans = ["gate", "event", "conflict", "g", "e", "c"]
                .iter()
                .any(|table| step.split(" USING").next() == Some(&format!("SCAN {table}")));
            assert!(!scans && !step.contains("AUTOMATIC"), "{name}: {steps:#?}");
        }
    }
}

/// Makes a statement of its parts, as the log does.
macro_rules! sql {
    ($($part:literal),+) => { concat!($(include_str!(concat!("../../src/sqlite/sql/", $part, ".sql"))),+) };
}

/// A page of gates, whatever is asked, is found from where it begins, and needs no sorting; and dropping what is
/// old does not look at what is young.
#[tokio::test]
async fn pages_begin_where_they_are_asked_to_and_chores_look_only_at_what_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failures.db");
    drop(SqliteFailureLog::open(&path).await.unwrap());
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    for (statement, expected) in [
        (
            sql!("list_columns", "list_from", "list_matching", "list_page"),
            "gate_key (stream_id=? AND entity>? AND entity<?)",
        ),
        (
            sql!("list_columns", "list_from_parked", "list_matching", "list_page"),
            "gate_parked (stream_id=? AND entity>? AND entity<?)",
        ),
        (sql!("conflicts"), "conflict_key (stream_id=? AND entity=? AND (idx,digest)>(?,?))"),
        (sql!("drop_audit"), "audit_age (consumer_id=? AND at<?)"),
        (sql!("drop_originals"), "original_age (consumer_id=? AND kept_at<?)"),
        (sql!("keep_original"), "event_key (stream_id=? AND entity=? AND idx=?)"),
    ] {
        let explained = format!("explain query plan {statement}");
        let plan = sqlx::query(sqlx::AssertSqlSafe(explained)).fetch_all(&mut connection).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
        assert!(steps.iter().any(|step| step.contains(expected)), "{expected}: {steps:#?}");
        // A page of conflicts is cut by its bytes, and sorted then; a page of gates never is.
        let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY"));
        assert!(!sorts || expected.starts_with("conflict_key"), "{steps:#?}");
    }
}
