//! Layouts: which of a topic's streams may be consumed, and whether old ones hold anything unresolved.

use super::{
    SqliteFailureLog,
    columns::{flag, maybe_layout},
    connections::Write,
    errors::Trouble,
    statement::{Session, Statement},
};
use crate::{
    ConsumerName, FailureLogError, Index, StreamName,
    gate::{LayoutRecord, LayoutStep, step_layout},
    sql::columns::waiting_bytes,
};

struct StepLayout {
    consumer_id: i64,
    layout: StreamName,
    step: LayoutStep,
}

impl Write for StepLayout {
    type Output = LayoutRecord;
    const DOING: &'static str = "changing a layout";

    async fn run(&self, session: &mut Session<'_>) -> Result<LayoutRecord, Trouble> {
        write_step(session, self.consumer_id, &self.layout, &self.step).await
    }
}

fn find_layout(consumer_id: i64, layout: &StreamName) -> Statement {
    Statement::new(include_str!("sql/load_layout.sql")).int(consumer_id).text(layout.as_str())
}

/// Loads the layout's row, applies the step, and writes what has changed.
pub(super) async fn write_step(
    session: &mut Session<'_>,
    consumer_id: i64,
    layout: &StreamName,
    step: &LayoutStep,
) -> Result<LayoutRecord, Trouble> {
    let before = maybe_layout(session.row(find_layout(consumer_id, layout)).await?.as_ref())?;
    let now = step_layout(before.as_ref(), step);
    if now != before.unwrap_or_default() {
        let upsert = Statement::new(include_str!("sql/upsert_layout.sql"))
            .int(consumer_id)
            .text(layout.as_str())
            .maybe_blob(now.identity.as_deref())
            .int(now.generation.cast_signed())
            .int(i64::from(now.admitted))
            .blob(&waiting_bytes(&now));
        session.execute(upsert).await?;
    }
    Ok(now)
}

impl SqliteFailureLog {
    pub(super) async fn step_layout(
        &self,
        consumer: &ConsumerName,
        layout: &StreamName,
        step: &LayoutStep,
    ) -> Result<LayoutRecord, FailureLogError> {
        // Looking comes first, and takes no lock: mostly nothing changes.
        let before = match self.known_consumer(consumer).await? {
            Some(consumer_id) => {
                let find = find_layout(consumer_id, layout);
                self.read("reading a layout", find, |rows| maybe_layout(rows.first())).await?
            }
            None => None,
        };
        let now = step_layout(before.as_ref(), step);
        if now == before.unwrap_or_default() {
            return Ok(now);
        }
        let (log, consumer) = (self.clone(), consumer.clone());
        let (layout, step) = (layout.clone(), step.clone());
        self.task(StepLayout::DOING, async move {
            let consumer_id = log.consumer(&consumer).await?;
            log.connections.write(&StepLayout { consumer_id, layout, step }).await
        })
        .await
    }

    pub(super) async fn has_head_through(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        through: Index,
    ) -> Result<bool, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(consumer).await? else { return Ok(false) };
        let find = Statement::new(include_str!("sql/has_unresolved.sql"))
            .int(consumer_id)
            .text(stream.as_str())
            .blob(&through.to_be_bytes());
        let found =
            |rows: &[sqlx::sqlite::SqliteRow]| rows.first().map_or(Ok(false), |row| flag(row, "found"));
        self.read("looking for unresolved events", find, found).await
    }
}
