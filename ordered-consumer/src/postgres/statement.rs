//! A statement with its values, and a connection inside a transaction to run it on.

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{
    Executor, PgConnection, Row,
    postgres::{PgArguments, PgRow},
};

use super::errors::Trouble;
use crate::{
    FailureLogError, Timestamp,
    sql::columns::{Columns, corrupt},
};

/// One statement and its values; a list of rows is one array for each column.
#[derive(Clone)]
pub(super) struct Statement {
    text: &'static str,
    arguments: PgArguments,
    failed: Option<String>,
}

impl Statement {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, arguments: PgArguments::default(), failed: None }
    }

    fn add<'t, T>(mut self, value: T) -> Self
    where
        T: sqlx::Encode<'t, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
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

    /// Adds a truth value.
    pub(super) fn flag(self, value: bool) -> Self {
        self.add(value)
    }

    /// Adds bytes.
    pub(super) fn blob(self, value: &[u8]) -> Self {
        self.add(value)
    }

    /// Adds bytes, or null.
    pub(super) fn maybe_blob(self, value: Option<&[u8]>) -> Self {
        self.add(value)
    }

    /// Adds whole numbers, or nulls.
    pub(super) fn ints(self, values: impl Iterator<Item = impl Into<Option<i64>>>) -> Self {
        self.add(values.map(Into::into).collect::<Vec<Option<i64>>>())
    }

    /// Adds truth values.
    pub(super) fn flags(self, values: impl Iterator<Item = bool>) -> Self {
        self.add(values.collect::<Vec<bool>>())
    }

    /// Adds byte strings.
    pub(super) fn blobs<'v>(self, values: impl Iterator<Item = &'v [u8]>) -> Self {
        self.add(values.collect::<Vec<&[u8]>>())
    }

    /// Adds byte strings, or nulls.
    pub(super) fn maybe_blobs<'v>(self, values: impl Iterator<Item = Option<&'v [u8]>>) -> Self {
        self.add(values.collect::<Vec<Option<&[u8]>>>())
    }

    /// Runs it, and returns its rows. `keep` lets the server keep the parsed statement for the next time.
    pub(super) async fn rows(self, connection: &mut PgConnection, keep: bool) -> Result<Vec<PgRow>, Trouble> {
        let (text, arguments) = self.finish()?;
        Ok(connection.fetch_all(sqlx::query_with(text, arguments).persistent(keep)).await?)
    }

    fn finish(self) -> Result<(&'static str, PgArguments), Trouble> {
        match self.failed {
            None => Ok((self.text, self.arguments)),
            Some(failed) => {
                Err(FailureLogError::Refused { doing: "binding a value", source: failed.into() }.into())
            }
        }
    }
}

impl Columns for PgRow {
    fn maybe_int(&self, column: &str) -> Result<Option<i64>, FailureLogError> {
        self.try_get(column).map_err(|error| corrupt(error.to_string()))
    }

    fn flag(&self, column: &str) -> Result<bool, FailureLogError> {
        self.try_get(column).map_err(|error| corrupt(error.to_string()))
    }

    fn maybe_bytes(&self, column: &str) -> Result<Option<&[u8]>, FailureLogError> {
        self.try_get(column).map_err(|error| corrupt(error.to_string()))
    }

    fn maybe_text(&self, column: &str) -> Result<Option<&str>, FailureLogError> {
        let text = self.maybe_bytes(column)?.map(str::from_utf8).transpose();
        text.map_err(|error| corrupt(format!("`{column}`: {error}")))
    }
}

/// A connection inside a transaction.
pub(super) struct Session<'c> {
    pub(super) connection: &'c mut PgConnection,
    pub(super) statements: &'c AtomicU64,
    /// Whether the server may keep parsed statements: not behind a pooler, which hands servers around.
    pub(super) keep: bool,
    /// The time, where a test tells it; otherwise it is the server's.
    pub(super) told_time: Option<Timestamp>,
}

impl Session<'_> {
    /// Runs a statement and returns its rows.
    pub(super) async fn rows(&mut self, statement: Statement) -> Result<Vec<PgRow>, Trouble> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        statement.rows(self.connection, self.keep).await
    }

    /// Runs a statement and returns its row, if there is one.
    pub(super) async fn row(&mut self, statement: Statement) -> Result<Option<PgRow>, Trouble> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs a statement and returns how many rows it changed.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, Trouble> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let (text, arguments) = statement.finish()?;
        let done = self.connection.execute(sqlx::query_with(text, arguments).persistent(self.keep)).await?;
        Ok(done.rows_affected())
    }

    /// The time that a test tells, for statements that otherwise take the server's.
    pub(super) fn told_micros(&self) -> Option<i64> {
        self.told_time.map(Timestamp::as_micros)
    }
}
