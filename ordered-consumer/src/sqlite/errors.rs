//! What SQLite's errors mean to a caller.

use sqlx::migrate::MigrateError;

use crate::{FailureLogError, sql::columns::corrupt};

/// What went wrong inside a call, before it is told to the caller.
#[derive(Debug)]
pub(super) enum Trouble {
    /// SQLite or the driver, anywhere but in the commit: nothing was written.
    Sql(sqlx::Error),
    /// In the commit.
    Commit(sqlx::Error),
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

/// What SQLite's primary result code says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Another connection has the lock.
    Busy,
    /// The disk, the memory or the file's rights: it may pass.
    Environment,
    /// The file is damaged, or is no database.
    Damaged,
    /// The statement itself: it would fail again.
    Refused,
}

fn kind(error: &sqlx::Error) -> Kind {
    if let sqlx::Error::Database(database) = error {
        let code = database.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(1);
        // The low byte is the primary code, the rest says where it happened.
        return match code & 0xff {
            5 | 6 => Kind::Busy,
            3 | 7 | 8 | 9 | 10 | 13 | 14 | 15 | 22 | 23 => Kind::Environment,
            11 | 26 => Kind::Damaged,
            _ => Kind::Refused,
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
    /// Whether another connection had the lock, so that the whole call may be tried again.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::Sql(error) | Self::Commit(error) => kind(error) == Kind::Busy,
            Self::Log(_) => false,
        }
    }

    /// What the caller is told.
    pub(super) fn told(self, doing: &'static str) -> FailureLogError {
        match self {
            Self::Log(error) => error,
            Self::Sql(error) => told(error, doing),
            // A busy or a full database has not committed, and the transaction is rolled back when its connection is
            // closed. Of anything else it cannot be said how much of the commit reached the disk.
            Self::Commit(error) => match kind(&error) {
                Kind::Busy => FailureLogError::Unavailable { doing, source: error.into() },
                Kind::Environment | Kind::Damaged | Kind::Refused => {
                    FailureLogError::OutcomeUnknown { doing, source: error.into() }
                }
            },
        }
    }
}

/// What a caller is told of an error outside a commit.
pub(super) fn told(error: sqlx::Error, doing: &'static str) -> FailureLogError {
    match kind(&error) {
        Kind::Busy | Kind::Environment => FailureLogError::Unavailable { doing, source: error.into() },
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
