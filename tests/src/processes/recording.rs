//! What processes did, in one file that all of them append to: its lines are in the order in which it happened.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use ordered_consumer::Index;
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Line {
    /// A handler has begun.
    Began(Run),
    /// It has succeeded; nothing of it comes after this line.
    Succeeded(Run),
    /// It is about to fail.
    Failed(Run),
    /// A process is about to be killed.
    Kill {
        /// Which.
        process: u32,
    },
    /// A process is about to be stopped.
    Stop {
        /// Which.
        process: u32,
    },
    /// A process is about to go on.
    Continue {
        /// Which.
        process: u32,
    },
    /// The broker has declared a process dead that did not speak for too long.
    DeclaredDead {
        /// Which.
        process: u32,
    },
    /// The broker gives an event out again, because the time of whoever had it has run out.
    TimeRanOut {
        /// Who had it.
        process: u32,
        /// The event's stream.
        stream: String,
        /// Its index.
        index: Index,
    },
    /// A process hands a stream over in good order, which it has settled up to this index, exclusively. What it has done
    /// above it, beside something earlier that it had not begun, comes again to the next owner.
    HandedOver {
        /// Which process.
        process: u32,
        /// The stream.
        stream: String,
        /// The first index that is not settled.
        index: Index,
    },
    /// The failure log was away, or lost connections: whatever ran meanwhile may have to run again.
    StoreTrouble,
}

/// A run of a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// In which process.
    pub process: u32,
    /// Unique within the process.
    pub run: u64,
    /// The event's stream.
    pub stream: String,
    /// Its entity.
    pub entity: String,
    /// Its index.
    pub index: Index,
    /// The attempt that the handler was told.
    pub attempt: u32,
    /// When, in milliseconds since 1970, for people to read.
    pub at_ms: u64,
}

/// Appends to a recording. Each line is one write to a file opened for appending, which the system keeps in order over
/// processes, and whole, unless the process is killed in the middle of it.
#[derive(Debug)]
pub struct Recording(File);

impl Recording {
    /// Opens a recording, new or not.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, line: &Line) -> std::io::Result<()> {
        // The line before may be without its end, if its process was killed: this one is not part of it.
        let text = format!("\n{}\n", serde_json::to_string(line)?);
        (&self.0).write_all(text.as_bytes())
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
