//! What came of it.

use std::{fmt, process::ExitCode, time::Duration};

use crate::replay::Findings;

/// The figures of one show, and the verdict.
pub(super) struct Summary {
    pub(super) store: String,
    pub(super) events: usize,
    pub(super) entities: usize,
    pub(super) workers: u32,
    pub(super) killed: u32,
    pub(super) runs: usize,
    pub(super) failures: usize,
    pub(super) broken_off: usize,
    pub(super) took: Duration,
    pub(super) findings: Findings,
}

impl Summary {
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.findings.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "failure log        {}", self.store)?;
        for (what, count) in [
            ("events", self.events),
            ("entities", self.entities),
            ("workers", self.workers as usize),
            ("workers killed", self.killed as usize),
            ("handler runs", self.runs),
            ("of them failed", self.failures),
            ("broken off", self.broken_off),
            ("order violations", self.findings.violations.len()),
            ("events missing", self.findings.unaccounted.len()),
        ] {
            writeln!(f, "{what:<18} {count}")?;
        }
        for violation in self.findings.violations.iter().take(10) {
            writeln!(f, "  {violation}")?;
        }
        let verdict = if self.findings.is_clean() {
            "Every entity's order held across all workers, and every event was handled"
        } else {
            "The order did not hold, or events are missing"
        };
        writeln!(f, "{verdict} ({:.1} s).", self.took.as_secs_f64())
    }
}
