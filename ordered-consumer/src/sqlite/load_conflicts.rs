//! How many of the events kept beside the log an operator names.

use super::{
    columns::count,
    errors::Trouble,
    load::Loaded,
    statement::{Session, Statement},
};
use crate::{
    Digest, Request,
    batch::position,
    gate::{Action, Input, Operation},
    sql::columns::Columns,
};

pub(super) async fn load_conflicts(
    session: &mut Session<'_>,
    requests: &[Request],
    loaded: &mut [Loaded],
) -> Result<(), Trouble> {
    const WIDTH: usize = 5;
    let mut statement = Statement::list(include_str!("sql/load_conflicts.sql"), WIDTH);
    let mut asked = false;
    for (at, (Request { key, input, .. }, loaded)) in requests.iter().zip(&*loaded).enumerate() {
        let Input::Operate(Operation { action: Action::VoidConflict { index, digest }, .. }) = input else {
            continue;
        };
        let Some(stream_id) = loaded.stream_id else { continue };
        asked = true;
        let digest = digest.map(Digest::to_bytes);
        statement = statement
            .int(position(at)?)
            .int(stream_id)
            .blob(&key.entity)
            .blob(&index.to_be_bytes())
            .maybe_blob(digest.as_ref().map(<[u8; 16]>::as_slice))
            .end_row();
    }
    if !asked {
        return Ok(());
    }
    for row in session.rows(statement.end_rows()).await? {
        let at = row.place("position", loaded.len())?;
        if let Some(loaded) = loaded.get_mut(at) {
            loaded.rows.conflicts_named = u32::try_from(count(&row, "conflicts_named")?).unwrap_or(u32::MAX);
        }
    }
    Ok(())
}
