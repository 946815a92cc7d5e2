//! The tables, which version of them this program knows, and what a role needs to use them.

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, Row, SqlStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::errors::{Trouble, migration_told, sql_state};
use crate::FailureLogError;

/// A table of our own in the schema of our own: a user's own migrations are left alone.
const TABLE: &str = "_ordered_consumer_migrations";

const CREATE_TABLES: &str = include_str!("migrations/0001_create_tables.sql");
const CREATE_LAYOUT: &str = include_str!("migrations/0002_create_layout.sql");

/// The first half of the key of the lock that migrations take: what it is for. The second is the schema.
const LOCK: i32 = 0x6f72_6463;

const NOT_THERE: &str =
    "run `PostgresFailureLog::migrate` first, as a role that may create schemas (or let `connect` do it)";
const NEWER: &str = "a newer program has used this log; upgrade this one";
const OLDER: &str = "run `PostgresFailureLog::migrate` as the owner of the schema";
const ANOTHER: &str =
    "its tables were made by another build than any that was released; start with a new schema";

fn migrator() -> Migrator {
    let migration = |version, description: &'static str, sql| {
        Migration::new(version, description.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "create tables", CREATE_TABLES),
        migration(2, "create layout", CREATE_LAYOUT),
    ]);
    migrator.dangerous_set_table_name(TABLE);
    // Its lock would be the session's, which a pooler shares; ours is the transaction's.
    migrator.set_locking(false);
    migrator
}

/// The version that this program writes.
fn known() -> i64 {
    migrator().iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Whether the tables are there as this program knows them.
///
/// # Errors
/// [`FailureLogError::SchemaVersion`] for a newer version, for which there is no help but another program.
pub(super) async fn is_current(connection: &mut PgConnection, schema: &str) -> Result<bool, Trouble> {
    let found = version(connection, schema).await?;
    refuse_newer(found)?;
    Ok(found == Some(known()))
}

/// What is wrong with tables that are not as this program knows them, and must not be changed.
pub(super) async fn refuse_other(connection: &mut PgConnection, schema: &str) -> Result<(), Trouble> {
    let found = version(connection, schema).await?;
    refuse_newer(found)?;
    match found {
        Some(found) if found == known() => Ok(()),
        Some(found) => Err(other(found, OLDER).into()),
        None => Err(other(0, NOT_THERE).into()),
    }
}

fn refuse_newer(found: Option<i64>) -> Result<(), FailureLogError> {
    match found {
        Some(found) if found > known() => Err(other(found, NEWER)),
        Some(_) | None => Ok(()),
    }
}

fn other(found: i64, advice: &'static str) -> FailureLogError {
    FailureLogError::SchemaVersion { found, known: known(), advice }
}

/// The version of the tables; none where there are none.
async fn version(connection: &mut PgConnection, schema: &str) -> Result<Option<i64>, Trouble> {
    // Safe: the schema's name is checked, and has only letters, digits and underscores.
    let text = format!("select coalesce(max(version), 0)::text as version from \"{schema}\".{TABLE}");
    match connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(text))).await {
        Ok(row) => {
            let version: String = row.try_get("version")?;
            Ok(Some(version.parse().unwrap_or(0)))
        }
        Err(error) if sql_state(&error).is_some_and(|state| state == "42P01" || state == "3F000") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Brings the tables up to date, in one transaction; processes that do so at once do it one after the other.
pub(super) async fn migrate(connection: &mut PgConnection, schema: &str) -> Result<(), Trouble> {
    let mut transaction = connection.begin().await?;
    // Safe: the schema's name is checked. `if not exists` alone would ask for the right to create schemas.
    let prepare = format!(
        "set local transaction isolation level read committed; \
         set local search_path = \"{schema}\"; \
         set local statement_timeout = 0; \
         set local lock_timeout = '60s'; \
         select pg_advisory_xact_lock({LOCK}, hashtext('{schema}')); \
         do $$ begin if to_regnamespace('{schema}') is null then create schema \"{schema}\"; end if; end $$"
    );
    transaction.execute(AssertSqlSafe(prepare)).await?;
    let migrated = migrator().run_direct(None, &mut *transaction, false).await;
    match migrated {
        Ok(()) => {}
        Err(MigrateError::VersionMissing(found)) => return Err(other(found, NEWER).into()),
        Err(MigrateError::VersionMismatch(found)) => return Err(other(found, ANOTHER).into()),
        Err(error) => return Err(migration_told(error)),
    }
    // What the driver has prepared must not stay in a session that a pooler hands on.
    transaction.clear_cached_statements().await?;
    transaction.commit().await.map_err(Trouble::Commit)
}

/// What the owner of the schema must run for a role that runs consumers, and nothing more than it needs.
pub(super) fn grants(schema: &str, role: &str) -> String {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    let grant = |rights: &str, tables: &[&str]| {
        let tables: Vec<String> = tables.iter().map(|table| format!("\"{schema}\".{table}")).collect();
        format!("grant {rights} on {} to {role};\n", tables.join(", "))
    };
    [
        format!("grant usage on schema \"{schema}\" to {role};\n"),
        grant("select", &[TABLE]),
        grant("select, insert", &["consumer"]),
        grant("select, update", &["counter"]),
        grant("select, insert, update", &["stream", "layout"]),
        // Only rows that were locked are dropped, and a lock is an update to PostgreSQL.
        grant("select, insert, update, delete", &["audit", "original"]),
        grant("select, insert, delete", &["conflict"]),
        grant("select, insert, update, delete", &["gate", "event"]),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_quotes_the_role_and_gives_no_right_to_change_tables() {
        let grants = grants("ordered_consumer", "web\"app");
        assert!(grants.contains("to \"web\"\"app\";"));
        for right in ["create", "truncate", "references", "trigger", "all"] {
            assert!(!grants.split_whitespace().any(|word| word == right), "{right}");
        }
    }
}
