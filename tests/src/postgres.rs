//! A schema of its own for every test of the failure log in PostgreSQL.

#![expect(clippy::panic, reason = "without a database there is nothing to test")]

use std::{
    str::FromStr as _,
    sync::atomic::{AtomicU32, Ordering},
};

use ordered_consumer::{PostgresFailureLog, PostgresFailureLogBuilder};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgRow},
};

/// A schema in the tests' database, and perhaps a role; dropped with this.
#[derive(Debug)]
pub struct TestSchema {
    /// Its name.
    pub name: String,
    url: String,
    role: Option<String>,
}

/// What an environment variable of `tests/services/postgres` says. A test that needs a server fails without one.
///
/// # Panics
/// When the variable is not set.
#[must_use]
pub fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run tests/services/postgres start DIRECTORY"))
}

/// The server's own address.
#[must_use]
pub fn url() -> String {
    variable("DATABASE_URL")
}

/// The pooler's address.
#[must_use]
pub fn pooled_url() -> String {
    variable("PGBOUNCER_URL")
}

/// Poolers refuse the parameter that is left out.
async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::from_str(url)?.extra_float_digits(None).connect().await
}

impl Default for TestSchema {
    fn default() -> Self {
        Self::new()
    }
}

impl TestSchema {
    /// A name that nobody else has; the first log makes the schema.
    #[must_use]
    pub fn new() -> Self {
        Self::at(&url())
    }

    /// The same on the server at this address.
    #[must_use]
    pub fn at(url: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("oc_test_{}_{}_{number}", std::process::id(), started.as_nanos());
        Self { name, url: url.to_owned(), role: None }
    }

    /// How to open a log in this schema, as the user of `DATABASE_URL`.
    #[must_use]
    pub fn builder(&self) -> PostgresFailureLogBuilder {
        self.builder_at(&self.url)
    }

    /// The same at another address of the same database.
    #[must_use]
    pub fn builder_at(&self, url: &str) -> PostgresFailureLogBuilder {
        PostgresFailureLog::builder(url).schema(&self.name)
    }

    /// Makes a role of its own that may do what a consumer needs and nothing more, and returns the address for it.
    pub async fn role(&mut self) -> String {
        let role = format!("{}_role", self.name);
        self.builder().run_migrations().await.unwrap_or_else(|error| panic!("{error}"));
        self.execute(&format!("create role {role} login password 'secret'")).await;
        self.role = Some(role.clone());
        let grants = self.builder().grants(&role).unwrap_or_else(|error| panic!("{error}"));
        self.execute(&grants).await;
        let (_, place) = self.url.split_once('@').unwrap_or_else(|| panic!("DATABASE_URL names no user"));
        format!("postgres://{role}:secret@{place}")
    }

    /// A connection as the user of `DATABASE_URL`.
    pub async fn connection(&self) -> PgConnection {
        connect(&self.url).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs statements as the user of `DATABASE_URL`, with `{schema}` standing for the schema.
    pub async fn execute(&self, text: &str) {
        let text = text.replace("{schema}", &self.name);
        let done = self.connection().await.execute(AssertSqlSafe(text)).await;
        done.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Runs a query as the user of `DATABASE_URL`, with `{schema}` standing for the schema; every value comes as text.
    pub async fn rows(&self, text: &str) -> Vec<String> {
        let text = text.replace("{schema}", &self.name);
        let rows = self.connection().await.fetch_all(sqlx::raw_sql(AssertSqlSafe(text))).await;
        let rows: Vec<PgRow> = rows.unwrap_or_else(|error| panic!("{error}"));
        rows.iter().map(|row| row.try_get_unchecked::<String, _>(0).unwrap_or_default()).collect()
    }
}

impl Drop for TestSchema {
    fn drop(&mut self) {
        let mut text = format!("drop schema if exists {} cascade;", self.name);
        if let Some(role) = &self.role {
            text += &format!("drop owned by {role}; drop role {role}");
        }
        let url = self.url.clone();
        // A runtime of its own: the test's may be in the middle of anything.
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = connect(&url).await?;
                connection.execute(AssertSqlSafe(text)).await?;
                connection.close().await
            })?;
            anyhow::Ok(())
        });
        if !matches!(cleaned.join(), Ok(Ok(()))) {
            eprintln!("the schema {} is left behind", self.name);
        }
    }
}
