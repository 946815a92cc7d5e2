//! The handler's record on disk, beside a SQLite failure log, so that a replay that was interrupted, or killed, can be
//! judged as a whole once it has been resumed.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::Run;

/// Takes one line for each run that ends, written before the handler returns: a process that is killed has written
/// every run whose outcome the product could know of.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
}

#[derive(Serialize, Deserialize)]
struct Line {
    row: usize,
    attempt: u32,
    redelivered: bool,
    ok: bool,
    life: u32,
    began: usize,
}

impl Journal {
    /// Opens the journal, and reads what earlier processes wrote. A last line that was cut off by the process's death
    /// is cut off from the file too.
    pub(super) fn open(path: &Path, rows: usize) -> Result<(Self, Vec<Run>)> {
        let said = || format!("cannot use the handler's record {}", path.display());
        let mut runs = Vec::new();
        let mut whole = 0_u64;
        match File::open(path) {
            Ok(file) => {
                let mut reader = BufReader::new(file);
                let mut text = Vec::new();
                while reader.read_until(b'\n', &mut text).with_context(said)? > 0 && text.ends_with(b"\n") {
                    let line: Line = serde_json::from_slice(&text).with_context(said)?;
                    anyhow::ensure!(line.row < rows, "{}: row {} is not in the log", said(), line.row);
                    runs.push(line.into());
                    whole += u64::try_from(text.len())?;
                    text.clear();
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(said),
        }
        let file = OpenOptions::new().create(true).append(true).open(path).with_context(said)?;
        file.set_len(whole).with_context(said)?;
        Ok((Self { file }, runs))
    }

    pub(super) fn write(&mut self, run: &Run) -> Result<()> {
        let line = Line {
            row: run.row,
            attempt: run.attempt,
            redelivered: run.redelivered,
            ok: run.ok == Some(true),
            life: run.life,
            began: run.began,
        };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.file.write_all(&text).context("cannot write the handler's record")
    }
}

impl From<Line> for Run {
    fn from(line: Line) -> Self {
        Self {
            row: line.row,
            attempt: line.attempt,
            redelivered: line.redelivered,
            ok: Some(line.ok),
            life: line.life,
            began: line.began,
            ended_at: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_without_a_line_that_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.jsonl");
        let run = Run {
            row: 3,
            attempt: 2,
            redelivered: true,
            ok: Some(true),
            life: 4,
            began: 9,
            ended_at: Duration::ZERO,
        };
        Journal::open(&path, 10).unwrap().0.write(&run).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], &whole[..9]].concat()).unwrap();

        let (mut journal, runs) = Journal::open(&path, 10).unwrap();
        assert_eq!(runs, [run]);
        journal.write(&run).unwrap();
        assert_eq!(Journal::open(&path, 10).unwrap().1, [run, run]);
    }
}
