//! The tables, and which version of them this program knows.

use sqlx::{
    Row, SqlStr, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::errors::{Trouble, migration_told};
use crate::FailureLogError;

/// A table of our own, so that a user's own migrations in the same file are left alone.
const TABLE: &str = "_ordered_consumer_migrations";

const CREATE_TABLES: &str = include_str!("migrations/0001_create_tables.sql");
const CREATE_LAYOUT: &str = include_str!("migrations/0002_create_layout.sql");

fn migrator() -> Migrator {
    let migration = |version, description: &'static str, sql| {
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "create tables", CREATE_TABLES),
        migration(2, "create layout", CREATE_LAYOUT),
    ]);
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// Brings the tables up to date, inside the caller's transaction: sqlx takes no lock of its own on SQLite, and two
/// processes may open a new file at once.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), Trouble> {
    let migrator = migrator();
    let known = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    match migrator.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(missing)) => {
            let found = newest(connection).await?.unwrap_or(missing);
            let advice = "a newer program has used this log; upgrade this one";
            Err(FailureLogError::SchemaVersion { found, known, advice }.into())
        }
        Err(MigrateError::VersionMismatch(found)) => {
            let advice =
                "its tables were made by another build than any that was released; start with a new file";
            Err(FailureLogError::SchemaVersion { found, known, advice }.into())
        }
        Err(other) => Err(migration_told(other)),
    }
}

async fn newest(connection: &mut SqliteConnection) -> Result<Option<i64>, Trouble> {
    let newest = sqlx::query("select max(version) as version from _ordered_consumer_migrations");
    Ok(newest.fetch_one(connection).await?.try_get("version")?)
}
