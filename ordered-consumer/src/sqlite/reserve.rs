//! What is reserved once and used many times: consumers' ids, and blocks of versions.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    columns::int,
    connections::{Connections, Write},
    errors::Trouble,
    statement::{Session, Statement},
};
use crate::{ConsumerName, FailureLogError};

/// How many versions are reserved at a time: so many that it costs next to nothing, so few that 2^43 blocks remain.
const VERSIONS_RESERVED: i64 = 1 << 20;

/// What this process has reserved. Nothing in it is ever taken back, so it is right whatever others do.
#[derive(Default)]
pub(super) struct Reserved {
    consumers: Mutex<HashMap<ConsumerName, i64>>,
    /// The next version, and the first one that is not reserved.
    versions: Mutex<(i64, i64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reserved {
    /// The consumer's id, if this process or another one has written for the consumer.
    pub(super) async fn known_consumer(
        &self,
        connections: &Connections,
        consumer: &ConsumerName,
    ) -> Result<Option<i64>, FailureLogError> {
        if let Some(id) = lock(&self.consumers).get(consumer) {
            return Ok(Some(*id));
        }
        let doing = "looking for a consumer";
        let rows = connections.read(doing, find(consumer)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let id = int(row, "consumer_id").map_err(|trouble| trouble.told(doing))?;
        lock(&self.consumers).insert(consumer.clone(), id);
        Ok(Some(id))
    }

    /// The consumer's id. It is written and committed before it is remembered.
    pub(super) async fn consumer(
        &self,
        connections: &Connections,
        consumer: &ConsumerName,
    ) -> Result<i64, FailureLogError> {
        if let Some(id) = self.known_consumer(connections, consumer).await? {
            return Ok(id);
        }
        let id = connections.write(&Enrol(consumer.clone())).await?;
        lock(&self.consumers).insert(consumer.clone(), id);
        Ok(id)
    }

    /// The first of so many versions that nobody else is given, ever.
    pub(super) async fn versions(
        &self,
        connections: &Connections,
        wanted: usize,
    ) -> Result<u64, FailureLogError> {
        let wanted = i64::try_from(wanted).map_err(|_| exhausted())?;
        if let Some(first) = take(&mut lock(&self.versions), wanted) {
            return Ok(first);
        }
        let block = VERSIONS_RESERVED.max(wanted);
        let first = connections.write(&ReserveVersions(block)).await?;
        // Two calls may have come here at once: the later one's block is the one that is used up.
        let mut versions = lock(&self.versions);
        *versions = (first, first + block);
        take(&mut versions, wanted).ok_or_else(exhausted)
    }
}

fn take(versions: &mut (i64, i64), wanted: i64) -> Option<u64> {
    let (next, end) = *versions;
    let after = next.checked_add(wanted).filter(|after| *after <= end)?;
    versions.0 = after;
    u64::try_from(next).ok()
}

const fn exhausted() -> FailureLogError {
    FailureLogError::Misused { what: "the log has no versions left" }
}

fn find(consumer: &ConsumerName) -> Statement {
    Statement::new("select consumer_id from consumer where name = ?").text(consumer.as_str())
}

struct Enrol(ConsumerName);

impl Write for Enrol {
    type Output = i64;
    const DOING: &'static str = "adding a consumer";

    async fn run(&self, session: &mut Session<'_>) -> Result<i64, Trouble> {
        if let Some(row) = session.row(find(&self.0)).await? {
            return int(&row, "consumer_id");
        }
        let insert = Statement::new("insert into consumer (name) values (?) returning consumer_id");
        let row = session.row(insert.text(self.0.as_str())).await?.ok_or(sqlx::Error::RowNotFound)?;
        int(&row, "consumer_id")
    }
}

struct ReserveVersions(i64);

impl Write for ReserveVersions {
    type Output = i64;
    const DOING: &'static str = "reserving versions";

    async fn run(&self, session: &mut Session<'_>) -> Result<i64, Trouble> {
        let row = session.row(Statement::new("select next_version from counter")).await?;
        let next = int(&row.ok_or(sqlx::Error::RowNotFound)?, "next_version")?;
        // Added here and not by SQLite, which would go on with a fraction.
        let after = next.checked_add(self.0).ok_or_else(exhausted)?;
        session.execute(Statement::new("update counter set next_version = ?").int(after)).await?;
        Ok(next)
    }
}
