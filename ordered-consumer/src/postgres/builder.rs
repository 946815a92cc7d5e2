//! How a failure log in PostgreSQL is opened.

use std::sync::Arc;

use sqlx::{Connection, postgres::PgConnectOptions};

use super::{
    PostgresConnections, PostgresFailureLog, PostgresTimeouts, address,
    connect::READ_ONLY,
    connections::{Connections, patience},
    errors::{Trouble, sql_state},
    schema,
};
use crate::{Clock, FailureLogError};

/// How to open a [`PostgresFailureLog`]; made by [`PostgresFailureLog::builder`].
#[derive(Clone)]
pub struct PostgresFailureLogBuilder {
    url: String,
    schema: String,
    connections: PostgresConnections,
    timeouts: PostgresTimeouts,
    migrates: bool,
    clock: Option<Clock>,
}

impl std::fmt::Debug for PostgresFailureLogBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may have a password.
        f.debug_struct("PostgresFailureLogBuilder")
            .field("url", &address::shown(&self.url))
            .field("schema", &self.schema)
            .field("connections", &self.connections)
            .field("timeouts", &self.timeouts)
            .field("migrates", &self.migrates)
            .finish_non_exhaustive()
    }
}

impl PostgresFailureLogBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            schema: "ordered_consumer".to_owned(),
            connections: PostgresConnections::default(),
            timeouts: PostgresTimeouts::default(),
            migrates: true,
            clock: None,
        }
    }

    /// The schema that has the tables: `ordered_consumer` unless told otherwise. 1 to 63 lower-case letters, digits and
    /// underscores; it must not be `public`.
    #[must_use]
    pub fn schema(mut self, schema: &str) -> Self {
        schema.clone_into(&mut self.schema);
        self
    }

    /// How many connections are opened at most, for each kind of work.
    #[must_use]
    pub const fn connections(mut self, connections: PostgresConnections) -> Self {
        self.connections = connections;
        self
    }

    /// How long anything may take.
    #[must_use]
    pub const fn timeouts(mut self, timeouts: PostgresTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Whether [`connect`](Self::connect) makes the schema and its tables, or brings them up to date, where they are
    /// not as this program knows them. It does unless told otherwise; a role without the right to do so needs them made
    /// before, and then works either way.
    #[must_use]
    pub const fn migrate(mut self, migrates: bool) -> Self {
        self.migrates = migrates;
        self
    }

    /// Goes by this clock instead of the server's, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Connects, and checks that the tables are there and have the version that this program knows.
    ///
    /// # Errors
    /// [`FailureLogError::BadUrl`] when there is no such database or role, or the server is a read-only replica;
    /// [`SchemaVersion`](FailureLogError::SchemaVersion) when the tables have another version and are not to be
    /// migrated, or have a newer one; [`Refused`](FailureLogError::Refused) when the role may not do what is needed;
    /// [`Unavailable`](FailureLogError::Unavailable) when the server cannot be reached.
    pub async fn connect(self) -> Result<PostgresFailureLog, FailureLogError> {
        let connections = self.made()?;
        let checked = patience(self.timeouts.call, self.check(&connections)).await;
        let checked = checked.unwrap_or(Err(Trouble::Again("the server did not answer in time")));
        checked.map_err(|trouble| match &trouble {
            Trouble::Sql(error) if is_address(error) => self.bad(&error.to_string()),
            Trouble::Log(FailureLogError::Unavailable { source, .. }) if source.to_string() == READ_ONLY => {
                self.bad(READ_ONLY)
            }
            Trouble::Sql(_) | Trouble::Commit(_) | Trouble::Again(_) | Trouble::Log(_) => {
                trouble.told("connecting to the database")
            }
        })?;
        Ok(PostgresFailureLog { connections: Arc::new(connections), reserved: Arc::default() })
    }

    /// Makes the schema and its tables, or brings them up to date: for a deployment's own step, as the role that is to
    /// own them. Any number of processes may do so at once.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn run_migrations(self) -> Result<(), FailureLogError> {
        self.migrate(true).connect().await?.close().await;
        Ok(())
    }

    /// What the schema's owner must run, once the tables are made, for a role that runs consumers: it gives the least
    /// rights that they need, none of them to change tables.
    ///
    /// # Errors
    /// [`FailureLogError::Misused`] when the schema's name cannot be used.
    pub fn grants(&self, role: &str) -> Result<String, FailureLogError> {
        address::check_schema(&self.schema)?;
        Ok(schema::grants(&self.schema, role))
    }

    fn made(&self) -> Result<Connections, FailureLogError> {
        let options: PgConnectOptions = address::from_url(&self.url)?;
        address::check_schema(&self.schema)?;
        let schema = self.schema.clone();
        Ok(Connections::new(options, schema, self.timeouts, self.connections, self.clock.clone()))
    }

    async fn check(&self, connections: &Connections) -> Result<(), Trouble> {
        let mut live = connections.connect().await?;
        let connection = &mut live.connection;
        if self.migrates && !schema::is_current(connection, &self.schema).await? {
            schema::migrate(connection, &self.schema).await?;
        }
        schema::refuse_other(connection, &self.schema).await?;
        // One of its own for this check: what is opened later has the settings of its transactions.
        drop(live.connection.close().await);
        Ok(())
    }

    fn bad(&self, why: &str) -> FailureLogError {
        let why = crate::display_safe(why).to_string();
        FailureLogError::BadUrl { url: address::shown(&self.url), why }
    }
}

/// Whether another address or another password would help: no such database, no such role, not let in.
fn is_address(error: &sqlx::Error) -> bool {
    let told = sql_state(error).is_some_and(|state| state == "3D000" || state.starts_with("28"));
    told || matches!(error, sqlx::Error::Tls(_) | sqlx::Error::Configuration(_))
}
