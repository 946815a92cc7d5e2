//! What is dropped when it is old: the audit, and originals of edited events.

use std::time::Duration;

use super::{
    connections::{Purpose, Write},
    errors::Trouble,
    statement::{Session, Statement},
    streams::read_time,
};

pub(super) struct DropAudit {
    pub(super) consumer_id: i64,
    pub(super) retention: Duration,
    pub(super) limit: u32,
}

impl Write for DropAudit {
    type Output = u64;
    const DOING: &'static str = "dropping old lines of the audit";

    fn purpose(&self) -> Purpose {
        Purpose::Operators
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<u64, Trouble> {
        let kept_since = read_time(session).await?.minus(self.retention).as_micros();
        // Looking comes first, and takes no lock: mostly nothing is old.
        let find = Statement::new(include_str!("sql/find_old_audit.sql"));
        if self.limit == 0 || session.row(find.int(self.consumer_id).int(kept_since)).await?.is_none() {
            return Ok(0);
        }
        let drop_from = |text| {
            let statement = Statement::new(text).int(self.consumer_id).int(kept_since);
            statement.int(i64::from(self.limit))
        };
        session.execute(drop_from(include_str!("sql/drop_originals.sql"))).await?;
        session.execute(drop_from(include_str!("sql/drop_audit.sql"))).await
    }
}
