//! What was measured, beside its targets.

use std::fmt;

use serde_json::{Value, json};

use crate::arms::Samples;

/// What a measured value is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Shown, and held against nothing.
    None,
}

impl Target {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(value <= limit),
            Self::AtLeast(limit) => Some(value >= limit),
            Self::None => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {}", number(*limit)),
            Self::AtLeast(limit) => write!(f, ">= {}", number(*limit)),
            Self::None => Ok(()),
        }
    }
}

struct Cell {
    benchmark: &'static str,
    what: String,
    unit: &'static str,
    samples: Samples,
    target: Target,
}

/// Every cell, losing ones too.
pub(crate) struct Report {
    quick: bool,
    cells: Vec<Cell>,
    /// What was asked for and could not be measured, and why.
    skipped: Vec<(&'static str, &'static str)>,
}

impl Report {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick, cells: Vec::new(), skipped: Vec::new() }
    }

    /// Adds what was measured; the median is held against the target.
    pub(crate) fn add(
        &mut self,
        benchmark: &'static str,
        what: impl Into<String>,
        unit: &'static str,
        samples: &Samples,
        target: Target,
    ) {
        let target = if self.quick { Target::None } else { target };
        self.cells.push(Cell { benchmark, what: what.into(), unit, samples: samples.clone(), target });
    }

    /// Says that a benchmark was not run, and why.
    #[cfg(feature = "services")]
    pub(crate) fn skip(&mut self, benchmark: &'static str, why: &'static str) {
        self.skipped.push((benchmark, why));
    }

    pub(crate) fn to_json(&self) -> Value {
        let cell = |cell: &Cell| {
            let target = match cell.target {
                Target::AtMost(limit) => json!({ "at_most": limit }),
                Target::AtLeast(limit) => json!({ "at_least": limit }),
                Target::None => Value::Null,
            };
            json!({
                "benchmark": cell.benchmark, "what": cell.what, "unit": cell.unit,
                "measured": cell.samples.to_json(), "target": target,
                "met": cell.target.is_met(cell.samples.median()),
            })
        };
        json!({
            "quick": self.quick,
            "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "cells": self.cells.iter().map(cell).collect::<Vec<_>>(),
            "skipped": self.skipped.iter().map(|(benchmark, why)| json!({ "benchmark": benchmark, "why": why })).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| benchmark | what | median | quartiles | min .. max | target | |")?;
        writeln!(f, "| --- | --- | ---: | ---: | ---: | ---: | --- |")?;
        for cell in &self.cells {
            let ((low, high), (min, max)) = (cell.samples.quartiles(), cell.samples.range());
            let met = match cell.target.is_met(cell.samples.median()) {
                Some(true) => "pass",
                Some(false) => "FAIL",
                None => "",
            };
            writeln!(
                f,
                "| {} | {} | {} {} | {} .. {} | {} .. {} | {} | {met} |",
                cell.benchmark,
                cell.what,
                number(cell.samples.median()),
                cell.unit,
                number(low),
                number(high),
                number(min),
                number(max),
                cell.target,
            )?;
        }
        for (benchmark, why) in &self.skipped {
            writeln!(f, "\nskipped {benchmark}: {why}")?;
        }
        if self.quick {
            writeln!(f, "\nquick: the sizes are too small to say anything about the targets")?;
        }
        Ok(())
    }
}

/// Three digits at least, and no more decimals than that takes.
fn number(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude >= 100.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_misses_its_target_stays_in_the_table_and_says_so() {
        let mut report = Report::new(false);
        let mut slow = Samples::default();
        slow.push(400.0);
        report.add("quiet", "more than the handler", "ns", &slow, Target::AtMost(350.0));
        assert!(report.to_string().contains("FAIL"));
        assert_eq!(report.to_json()["cells"][0]["met"], false);
    }
}
