//! No statement that a batch makes reads a whole table, however long its list of rows is.

use ordered_consumer::SqliteFailureLog;
use sqlx::{ConnectOptions, Row};

/// The statements that take a list of rows, with the width of each.
const LISTS: [(&str, &str, usize); 5] = [
    ("load", include_str!("../../src/sqlite/sql/load.sql"), 6),
    ("load_passed", include_str!("../../src/sqlite/sql/load_passed.sql"), 5),
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
