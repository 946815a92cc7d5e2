//! The one file that every handler of every worker appends to.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::replay::Run;

/// A line: a run began, or ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) row: usize,
    pub(super) attempt: u32,
    pub(super) worker: u32,
    /// None where it begins.
    pub(super) ok: Option<bool>,
}

/// The file, opened to append: lines of several processes never mix, and their order is that of their writing.
#[derive(Debug)]
pub(super) struct Diary(File);

impl Diary {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(opened.with_context(|| format!("cannot open {}", path.display()))?))
    }

    /// One write for one line; what is written survives the process that wrote it.
    pub(super) fn write(&self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        (&self.0).write_all(text.as_bytes()).context("cannot write what the handler did")
    }
}

/// The runs that ended, in the order in which they did, and those that began and were broken off.
pub(super) fn read(path: &Path) -> Result<(Vec<Run>, Vec<Run>)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut ended, mut open): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let Line { row, attempt, worker, ok } = serde_json::from_str(line).context("a line is broken")?;
        let began = ended.len();
        let run = Run { row, attempt, redelivered: false, ok, life: worker, began, ended_at: Duration::ZERO };
        let same = |other: &Run| (other.row, other.attempt, other.life) == (row, attempt, worker);
        match (ok, open.iter().position(same)) {
            (None, _) => open.push(run),
            (Some(_), Some(place)) => {
                let began = open.remove(place).began;
                ended.push(Run { began, ..run });
            }
            (Some(_), None) => anyhow::bail!("a run of row {row} ended that had not begun"),
        }
    }
    Ok((ended, open))
}
