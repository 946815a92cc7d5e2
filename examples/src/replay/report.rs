//! What came of a replay, for people to read.

use std::{fmt, process::ExitCode, time::Duration};

use super::{Findings, Run};

/// How many of a kind are named, before the rest is only counted.
pub(super) const NAMED_MAX: usize = 5;

/// The exit status of a program that was interrupted from the keyboard: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// What came of a replay. Its `Display` is what the program prints.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The log's file.
    pub title: String,
    /// Rows in the log.
    pub events: usize,
    /// Entities in the log.
    pub entities: usize,
    /// Rows handled successfully, by the handler's own record.
    pub handled: usize,
    /// How often the consumer was dropped mid-flight.
    pub crashes: usize,
    /// What the consumer has counted, in all of its lives in this process.
    pub counts: Counts,
    /// What is left in the failure log.
    pub left: Left,
    /// What the checks found.
    pub findings: Findings,
    /// Every run of the handler that ended, in the order in which they did.
    pub runs: Vec<Run>,
    /// The timeline of an entity that failed, drawn in text.
    pub timeline: Option<String>,
    /// How many entities a plain retry queue misorders.
    pub naive_misordered: Option<usize>,
    /// Whether it was interrupted before everything was done.
    pub is_interrupted: bool,
    /// Whether the same arguments resume it.
    pub is_resumable: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// What the consumer has counted, over its lives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Events held behind an earlier one of their entity.
    pub held: u64,
    /// Events that were done with already when they came.
    pub duplicates: u64,
    /// Events logged before they ran, because a crash may have been their fault.
    pub suspects: u64,
}

/// What is left in the failure log.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// Events.
    pub held: usize,
    /// Parked entities.
    pub parked: usize,
    /// What an operator is told about the first of them.
    pub explained: Vec<String>,
}

impl Report {
    /// Runs that failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.runs.iter().filter(|run| run.ok == Some(false)).count()
    }

    /// 1 if an order was violated or an event is unaccounted for, else 130 if it was interrupted, else 0.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match (self.findings.is_clean(), self.is_interrupted) {
            (false, _) => 1,
            (true, true) => INTERRUPTED,
            (true, false) => 0,
        }
    }

    /// [`exit_status`](Self::exit_status), for `main` to return.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_status())
    }

    fn table(&self) -> Vec<(&'static str, usize, String)> {
        let large = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let mut rows = vec![
            ("events", self.events, String::new()),
            ("entities", self.entities, String::new()),
            ("handled", self.handled, String::new()),
            ("failures", self.failures(), "attempts that failed".to_owned()),
            ("held", large(self.counts.held), "behind a failed event of their entity".to_owned()),
            ("parked", self.left.parked, self.left_over()),
            ("duplicates", large(self.counts.duplicates), "redelivered, and not handled again".to_owned()),
            ("order violations", self.findings.violations.len(), String::new()),
            ("unaccounted for", self.findings.unaccounted.len(), String::new()),
        ];
        if self.crashes > 0 {
            let suspects = self.counts.suspects;
            let what = format!("of the consumer; {suspects} events were logged before they ran again");
            rows.insert(rows.len() - 2, ("crashes", self.crashes, what));
        }
        if let Some(misordered) = self.naive_misordered {
            rows.push(("misordered", misordered, "entities, had it been a plain retry queue".to_owned()));
        }
        rows
    }

    fn left_over(&self) -> String {
        match self.left.held {
            0 => "entities; nothing is left in the failure log".to_owned(),
            held => format!("entities; {held} events are left in the failure log"),
        }
    }

    fn verdict(&self) -> String {
        let seconds = self.elapsed.as_secs_f64();
        if !self.findings.is_clean() {
            return "NOT as promised: an order was violated, or an event is unaccounted for.".to_owned();
        }
        if self.is_resumable {
            return "Interrupted. The same command resumes it.".to_owned();
        }
        if self.is_interrupted {
            return "Interrupted. Only a replay on `--store sqlite:PATH` can be resumed.".to_owned();
        }
        format!("Every entity's order held, and every event is accounted for ({seconds:.1} s).")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        for (name, count, what) in self.table() {
            let line = format!("  {name:<16} {count:>8}  {what}");
            writeln!(f, "{}", line.trim_end())?;
        }
        if let Some(timeline) = &self.timeline {
            write!(f, "\n{timeline}")?;
        }
        if self.left.parked > 0 {
            writeln!(f, "\nParked, until an operator acts:")?;
            write_some(f, &self.left.explained, self.left.parked)?;
        }
        if !self.findings.violations.is_empty() {
            writeln!(f, "\nOrder violations:")?;
            write_some(f, &self.findings.violations, self.findings.violations.len())?;
        }
        if !self.findings.unaccounted.is_empty() {
            writeln!(f, "\nRows neither handled nor in the failure log:")?;
            write_some(f, &self.findings.unaccounted, self.findings.unaccounted.len())?;
        }
        writeln!(f, "\n{}", self.verdict())
    }
}

fn write_some(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display], count: usize) -> fmt::Result {
    for item in items.iter().take(NAMED_MAX) {
        writeln!(f, "  {item}")?;
    }
    match count.saturating_sub(NAMED_MAX) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}
