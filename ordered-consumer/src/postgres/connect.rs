//! One connection: how it is made, and what is found out about it.
//!
//! A pooler in transaction mode hands one server's session to many clients, one transaction each. What a session keeps
//! must then not be relied on: settings, and parsed statements, which another client may have under the same name. A
//! connection therefore asks at its start for a setting of our own, in the start-up packet, which only a server itself
//! carries out: poolers refuse it, or leave it out. Where the setting is there, the session is ours alone.

use sqlx::{
    ConnectOptions, Executor, PgConnection, Row,
    postgres::{PgConnectOptions, PgRow},
};

use super::{
    errors::{Trouble, sql_state},
    limits::PostgresTimeouts,
};
use crate::FailureLogError;

/// A connection, and what is known of it.
pub(super) struct Live {
    pub(super) connection: PgConnection,
    /// Whether the server's session is this connection's alone.
    pub(super) direct: bool,
    /// Whether the server writes what it commits to the disk.
    pub(super) durable: bool,
}

/// Why a server cannot be used.
pub(super) const READ_ONLY: &str =
    "the server is a read-only replica, or its transactions are read-only; connect to the primary";

/// Settings that hold for one transaction, or for a session that is ours alone.
fn settings(schema: &str, timeouts: &PostgresTimeouts) -> [(&'static str, String); 4] {
    let millis = |time: std::time::Duration| format!("{}", time.as_millis().clamp(1, 86_400_000));
    [
        // A stranger's temporary tables, in a session that a pooler shares, must not hide ours.
        ("search_path", format!("\"{schema}\",pg_temp")),
        ("statement_timeout", millis(timeouts.statement)),
        ("lock_timeout", millis(timeouts.lock)),
        ("idle_in_transaction_session_timeout", millis(timeouts.idle_in_transaction)),
    ]
}

/// What begins a write.
pub(super) fn begin_write(schema: &str, timeouts: &PostgresTimeouts, direct: bool) -> String {
    let mut text = String::from("begin isolation level read committed");
    if !direct {
        set_local(&mut text, schema, timeouts);
    }
    // Whatever the tables' statistics say, keys are looked up in their index, and no other plan is weighed: a plan
    // that was made for small tables would be kept when they have grown.
    for setting in ["enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "jit"] {
        text.push_str("; set local ");
        text.push_str(setting);
        text.push_str(" = off");
    }
    // What is acknowledged must survive a power cut. Anything stricter than `on` stays as it is.
    text.push_str(
        "; select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'",
    );
    text
}

/// What begins a read where a session cannot be relied on.
pub(super) fn begin_read(schema: &str, timeouts: &PostgresTimeouts) -> String {
    let mut text = String::from("begin isolation level read committed, read only");
    set_local(&mut text, schema, timeouts);
    text
}

fn set_local(text: &mut String, schema: &str, timeouts: &PostgresTimeouts) {
    for (name, value) in settings(schema, timeouts) {
        // A path is a list of names; the others are numbers.
        let value = if name == "search_path" { value } else { format!("'{value}'") };
        text.push_str(&format!("; set local {name} = {value}"));
    }
}

/// Connects. `pooled` tells that a pooler was found there before.
pub(super) async fn connect(
    options: &PgConnectOptions,
    schema: &str,
    timeouts: &PostgresTimeouts,
    pooled: bool,
) -> Result<Live, Trouble> {
    let options = options.clone().disable_statement_logging();
    let mut connection = None;
    if !pooled {
        let ours = settings(schema, timeouts).into_iter().chain([("ordered_consumer.direct", "yes".into())]);
        match options.clone().options(ours).connect().await {
            Ok(connected) => connection = Some(connected),
            // Whatever a pooler says of a parameter that it does not know; the second attempt tells.
            Err(error) if sql_state(&error).is_some_and(|state| state.starts_with("08")) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut connection = match connection {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    let row = connection.fetch_one(sqlx::raw_sql(include_str!("sql/find_session.sql"))).await?;
    if is(&row, "read_only")? {
        return Err(FailureLogError::Unavailable { doing: "connecting", source: READ_ONLY.into() }.into());
    }
    let (direct, durable) = (is(&row, "direct")?, is(&row, "durable")?);
    Ok(Live { connection, direct, durable })
}

fn is(row: &PgRow, column: &str) -> Result<bool, Trouble> {
    Ok(row.try_get::<String, _>(column)? == "yes")
}
