//! What PostgreSQL's errors mean to a caller.

use sqlx::migrate::MigrateError;

use crate::{FailureLogError, sql::columns::corrupt};

/// What went wrong inside a call, before it is told to the caller.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server or the driver, anywhere but in the commit: nothing was written.
    Sql(sqlx::Error),
    /// In the commit.
    Commit(sqlx::Error),
    /// Somebody else was first, which is seen only now: nothing was written, and the decision must be made anew.
    Again(&'static str),
    /// Our own finding: nothing was written.
    Log(FailureLogError),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<FailureLogError> for Trouble {
    fn from(error: FailureLogError) -> Self {
        Self::Log(error)
    }
}

/// What an error says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It lost against another transaction: the same again may succeed at once.
    Lost,
    /// The server, the network or the server's load: it may pass.
    Environment,
    /// What was read is not what this program can have written.
    Damaged,
    /// The statement itself: it would fail again.
    Refused,
}

/// The server's five letters for what happened; none when it was not the server that spoke.
pub(super) fn sql_state(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

fn kind(error: &sqlx::Error) -> Kind {
    if let Some(state) = sql_state(error) {
        return match state.as_str() {
            // Serialization failure and deadlock; a unique key that was free when it was looked at; a prepared
            // statement that a pooler's other connection has not got; a plan that a migration has made useless.
            "40001" | "40P01" | "23505" | "26000" | "42P05" | "0A000" => Kind::Lost,
            // A lock that was not given in time; a server that has become a read-only replica.
            "55P03" | "25006" => Kind::Environment,
            "XX001" | "XX002" => Kind::Damaged,
            state => match state.get(..2) {
                // Connection, authorization that is being changed, resources, operators' intervention, the system.
                Some("08" | "28" | "53" | "57" | "58") => Kind::Environment,
                _ => Kind::Refused,
            },
        };
    }
    let unreadable = matches!(
        error,
        sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::RowNotFound
    );
    if unreadable {
        Kind::Damaged
    } else if matches!(error, sqlx::Error::Encode(_) | sqlx::Error::Configuration(_)) {
        Kind::Refused
    } else {
        Kind::Environment
    }
}

impl Trouble {
    /// Whether the whole decision is to be made again, because it lost against another transaction.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::Sql(error) => kind(error) == Kind::Lost,
            Self::Commit(error) => has_not_committed(error),
            Self::Again(_) => true,
            Self::Log(_) => false,
        }
    }

    /// Whether the connection may have been lost before, so that another one may serve.
    pub(super) fn is_connection_lost(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        match sql_state(error) {
            Some(state) => state.starts_with("08") || state.starts_with("57P") || state == "25006",
            None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed),
        }
    }

    /// What the caller is told.
    pub(super) fn told(self, doing: &'static str) -> FailureLogError {
        match self {
            Self::Log(error) => error,
            Self::Sql(error) => told(error, doing),
            Self::Again(why) => FailureLogError::Unavailable { doing, source: why.into() },
            Self::Commit(error) if has_not_committed(&error) => {
                FailureLogError::Unavailable { doing, source: error.into() }
            }
            // Of anything else it cannot be said whether the commit came first: also of a server's farewell.
            Self::Commit(error) => FailureLogError::OutcomeUnknown { doing, source: error.into() },
        }
    }
}

/// Whether the server refused to commit, and said so.
fn has_not_committed(error: &sqlx::Error) -> bool {
    sql_state(error).is_some_and(|state| matches!(state.get(..2), Some("40" | "23" | "25")))
}

/// What a caller is told of an error outside a commit.
pub(super) fn told(error: sqlx::Error, doing: &'static str) -> FailureLogError {
    match kind(&error) {
        Kind::Lost | Kind::Environment => FailureLogError::Unavailable { doing, source: error.into() },
        Kind::Damaged => corrupt(format!("{doing}: {error}")),
        Kind::Refused => FailureLogError::Refused { doing, source: error.into() },
    }
}

/// What a caller is told when the migrations failed, other than by their version.
pub(super) fn migration_told(error: MigrateError) -> Trouble {
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
        return Trouble::Sql(error);
    }
    Trouble::Log(corrupt(format!("its migrations: {error}")))
}
