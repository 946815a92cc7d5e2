//! What is reserved once and used many times: consumers' ids, and blocks of versions.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    connections::{Connections, Purpose, Write},
    errors::Trouble,
    statement::{Session, Statement},
};
use crate::{ConsumerName, FailureLogError, sql::columns::Columns};

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
        purpose: Purpose,
        consumer: &ConsumerName,
    ) -> Result<Option<i64>, FailureLogError> {
        if let Some(id) = lock(&self.consumers).get(consumer) {
            return Ok(Some(*id));
        }
        let rows = connections.read(purpose, "looking for a consumer", find(consumer)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let id = row.int("consumer_id")?;
        lock(&self.consumers).insert(consumer.clone(), id);
        Ok(Some(id))
    }

    /// The consumer's id. It is written and committed before it is remembered.
    pub(super) async fn consumer(
        &self,
        connections: &Connections,
        purpose: Purpose,
        consumer: &ConsumerName,
    ) -> Result<i64, FailureLogError> {
        if let Some(id) = self.known_consumer(connections, purpose, consumer).await? {
            return Ok(id);
        }
        let id = connections.write(&Enrol { purpose, consumer: consumer.clone() }).await?;
        lock(&self.consumers).insert(consumer.clone(), id);
        Ok(id)
    }

    /// The first of so many versions that nobody else is given, ever.
    pub(super) async fn versions(
        &self,
        connections: &Connections,
        purpose: Purpose,
        wanted: usize,
    ) -> Result<u64, FailureLogError> {
        let wanted = i64::try_from(wanted).map_err(|_| exhausted())?;
        if let Some(first) = take(&mut lock(&self.versions), wanted) {
            return Ok(first);
        }
        let block = VERSIONS_RESERVED.max(wanted);
        let first = connections.write(&ReserveVersions { purpose, block }).await?;
        // Two calls may have come here at once: the later one's block is the one that is used up.
        let mut versions = lock(&self.versions);
        *versions = (first, first.checked_add(block).ok_or_else(exhausted)?);
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
    Statement::new(include_str!("sql/find_consumer.sql")).blob(consumer.as_str().as_bytes())
}

struct Enrol {
    purpose: Purpose,
    consumer: ConsumerName,
}

impl Write for Enrol {
    type Output = i64;
    const DOING: &'static str = "adding a consumer";

    fn purpose(&self) -> Purpose {
        self.purpose
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<i64, Trouble> {
        if let Some(row) = session.row(find(&self.consumer)).await? {
            return Ok(row.int("consumer_id")?);
        }
        let insert = Statement::new(include_str!("sql/insert_consumer.sql"));
        let row = session.row(insert.blob(self.consumer.as_str().as_bytes())).await?;
        let row = row.ok_or(Trouble::Again("somebody else has just added the consumer"))?;
        Ok(row.int("consumer_id")?)
    }
}

struct ReserveVersions {
    purpose: Purpose,
    block: i64,
}

impl Write for ReserveVersions {
    type Output = i64;
    const DOING: &'static str = "reserving versions";

    fn purpose(&self) -> Purpose {
        self.purpose
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<i64, Trouble> {
        let reserve = Statement::new(include_str!("sql/reserve_versions.sql")).int(self.block);
        let row = session.row(reserve).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(row.int("first_version")?)
    }
}
