//! Layouts: which of a topic's streams may be consumed, and whether old ones hold anything unresolved.

use super::{
    PostgresFailureLog,
    connections::{Purpose, Write},
    errors::Trouble,
    statement::{Session, Statement},
};
use crate::{
    ConsumerName, FailureLogError, Index, StreamName,
    gate::{LayoutRecord, LayoutStep, step_layout},
    sql::columns::{Columns, maybe_layout, waiting_bytes},
};

struct StepLayout {
    consumer_id: i64,
    layout: StreamName,
    step: LayoutStep,
}

impl Write for StepLayout {
    type Output = LayoutRecord;
    const DOING: &'static str = "changing a layout";

    fn purpose(&self) -> Purpose {
        Purpose::Main
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<LayoutRecord, Trouble> {
        write_step(session, self.consumer_id, &self.layout, &self.step).await
    }
}

/// Loads the layout's row under its lock, applies the step, and writes what has changed.
pub(super) async fn write_step(
    session: &mut Session<'_>,
    consumer_id: i64,
    layout: &StreamName,
    step: &LayoutStep,
) -> Result<LayoutRecord, Trouble> {
    let name = layout.as_str().as_bytes();
    let lock = Statement::new(include_str!("sql/lock_layout.sql")).int(consumer_id).blob(name);
    let before = maybe_layout(session.row(lock).await?.as_ref())?;
    let now = step_layout(before.as_ref(), step);
    let is_new = before.is_none();
    if now == before.unwrap_or_default() {
        return Ok(now);
    }
    let text =
        if is_new { include_str!("sql/insert_layout.sql") } else { include_str!("sql/update_layout.sql") };
    let write = Statement::new(text)
        .int(consumer_id)
        .blob(name)
        .maybe_blob(now.identity.as_deref())
        .int(now.generation.cast_signed())
        .int(i64::from(now.admitted))
        .blob(&waiting_bytes(&now));
    if session.execute(write).await? == 0 {
        return Err(Trouble::Again("somebody else has just seen the layout first"));
    }
    Ok(now)
}

impl PostgresFailureLog {
    pub(super) async fn step_layout(
        &self,
        consumer: &ConsumerName,
        layout: &StreamName,
        step: &LayoutStep,
    ) -> Result<LayoutRecord, FailureLogError> {
        // Looking comes first, and takes no lock: mostly nothing changes.
        let before = match self.known_consumer(Purpose::Main, consumer).await? {
            Some(consumer_id) => {
                let find = Statement::new(include_str!("sql/load_layout.sql")).int(consumer_id);
                let find = find.blob(layout.as_str().as_bytes());
                let rows = self.connections.read(Purpose::Main, "reading a layout", find).await?;
                maybe_layout(rows.first())?
            }
            None => None,
        };
        let now = step_layout(before.as_ref(), step);
        if now == before.unwrap_or_default() {
            return Ok(now);
        }
        let (layout, step) = (layout.clone(), step.clone());
        let made = move |consumer_id| StepLayout { consumer_id, layout, step };
        self.write(Purpose::Main, consumer, made).await
    }

    pub(super) async fn has_head_through(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        through: Index,
    ) -> Result<bool, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(Purpose::Main, consumer).await? else { return Ok(false) };
        let find = Statement::new(include_str!("sql/has_unresolved.sql"))
            .int(consumer_id)
            .blob(stream.as_str().as_bytes())
            .blob(&through.to_be_bytes());
        let rows = self.connections.read(Purpose::Main, "looking for unresolved events", find).await?;
        rows.first().map_or(Ok(false), |row| row.flag("found"))
    }
}
