//! A statement with its values, among them a list of rows of any length.

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{
    AssertSqlSafe, Executor, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::errors::Trouble;
use crate::{FailureLogError, Timestamp};

/// How many values one statement takes at most; SQLite refuses more.
const VALUES_MAX: usize = 32_766;

/// One statement, whose text may have `{rows}` for a list of rows.
///
/// The list is filled up with rows of nulls to a power of two, so that there are few texts and SQLite's prepared
/// statements are used again. Every statement with a list therefore looks past rows whose first value is null.
#[derive(Clone)]
pub(super) struct Statement {
    template: &'static str,
    width: usize,
    rows: usize,
    arguments: SqliteArguments,
    failed: Option<String>,
}

impl Statement {
    /// A statement without a list.
    pub(super) fn new(template: &'static str) -> Self {
        Self { template, width: 0, rows: 0, arguments: SqliteArguments::default(), failed: None }
    }

    /// A statement with a list of rows of `width` values each.
    pub(super) fn list(template: &'static str, width: usize) -> Self {
        Self { width, ..Self::new(template) }
    }

    /// How many rows of this width fit into one statement beside a few other values, filled up.
    pub(super) const fn rows_max(width: usize) -> usize {
        let fit = (VALUES_MAX - 8) / width;
        // The highest power of two that fits.
        1 << fit.ilog2()
    }

    fn add<'t, T>(mut self, value: T) -> Self
    where
        T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        if let Err(error) = sqlx::Arguments::add(&mut self.arguments, value) {
            self.failed = Some(error.to_string());
        }
        self
    }

    /// Adds a whole number, or null.
    pub(super) fn int(self, value: impl Into<Option<i64>>) -> Self {
        self.add(value.into())
    }

    /// Adds bytes.
    pub(super) fn blob(self, value: &[u8]) -> Self {
        self.add(value)
    }

    /// Adds bytes, or null.
    pub(super) fn maybe_blob(self, value: Option<&[u8]>) -> Self {
        self.add(value)
    }

    /// Adds text.
    pub(super) fn text(self, value: &str) -> Self {
        self.add(value.to_owned())
    }

    /// Adds text, or null.
    pub(super) fn maybe_text(self, value: Option<String>) -> Self {
        self.add(value)
    }

    /// Ends a row of the list.
    pub(super) fn end_row(mut self) -> Self {
        self.rows += 1;
        self
    }

    /// Ends the list: fills it up, so that values that stand behind it in the text can follow.
    pub(super) fn end_rows(mut self) -> Self {
        let filled = self.rows.next_power_of_two();
        for _ in 0..(filled - self.rows) * self.width {
            self = self.int(None);
        }
        self.rows = filled;
        self
    }

    fn text_of(&self) -> String {
        if self.width == 0 {
            return self.template.to_owned();
        }
        let row = format!("({}?)", "?,".repeat(self.width - 1));
        let mut rows = format!("{row},").repeat(self.rows);
        rows.pop();
        self.template.replace("{rows}", &rows)
    }

    /// The text and the values, for the driver.
    pub(super) fn finish(self) -> Result<(AssertSqlSafe<String>, SqliteArguments), Trouble> {
        // Safe: the text is a file of ours with question marks in it; whatever comes from outside is a value.
        let text = AssertSqlSafe(self.text_of());
        match self.failed {
            None => Ok((text, self.arguments)),
            Some(failed) => {
                Err(FailureLogError::Refused { doing: "binding a value", source: failed.into() }.into())
            }
        }
    }
}

/// A connection inside a transaction, and the log's time in it.
pub(super) struct Session<'c> {
    pub(super) connection: &'c mut SqliteConnection,
    pub(super) statements: &'c AtomicU64,
    /// The log's time, read after the lock was taken.
    pub(super) now: Timestamp,
}

impl Session<'_> {
    /// Runs a statement and returns its rows.
    pub(super) async fn rows(&mut self, statement: Statement) -> Result<Vec<SqliteRow>, Trouble> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let (text, arguments) = statement.finish()?;
        Ok(self.connection.fetch_all(sqlx::query_with(text, arguments)).await?)
    }

    /// Runs a statement and returns its row, if there is one.
    pub(super) async fn row(&mut self, statement: Statement) -> Result<Option<SqliteRow>, Trouble> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs a statement and returns how many rows it changed.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, Trouble> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let (text, arguments) = statement.finish()?;
        Ok(self.connection.execute(sqlx::query_with(text, arguments)).await?.rows_affected())
    }
}
