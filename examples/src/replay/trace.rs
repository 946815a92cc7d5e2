//! The trace: one JSON line for each run of the handler.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{EventLog, Run};

#[derive(Serialize)]
struct Line<'a> {
    entity: &'a str,
    row: usize,
    attempt: u32,
    redelivered: bool,
    ok: bool,
}

/// Opens the file that the trace goes to, before anything has run: better to know then that it cannot be written.
pub(super) fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write the trace to {}", path.display()))
}

/// Writes the runs that ended, in the order in which they did; of a resumed replay, those of earlier processes too.
pub(super) fn write(file: File, log: &EventLog, ended: &[Run]) -> Result<()> {
    let mut file = BufWriter::new(file);
    for run in ended {
        let line = Line {
            entity: log.entity_of(run.row),
            row: run.row,
            attempt: run.attempt,
            redelivered: run.redelivered,
            ok: run.ok == Some(true),
        };
        serde_json::to_writer(&mut file, &line).context("cannot write the trace")?;
        file.write_all(b"\n").context("cannot write the trace")?;
    }
    file.flush().context("cannot write the trace")
}
