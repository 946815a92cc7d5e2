//! Whether every entity's order held, and whether every event is accounted for.
//!
//! Independent of the product: it looks at the handler's own record, and at which rows are left in the failure log.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use super::{EventLog, Run};

/// What the checks found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Runs that should not have been.
    pub violations: Vec<Violation>,
    /// Entities that have one.
    pub misordered_entities: BTreeSet<usize>,
    /// Rows that were never handled, and are not in the failure log either.
    pub unaccounted: Vec<usize>,
}

impl Findings {
    /// Whether there is nothing to find.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.unaccounted.is_empty()
    }
}

/// A run that should not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It began although an earlier event of its entity had not succeeded.
    Overtook {
        /// The row that ran.
        row: usize,
        /// The earlier one.
        earlier: usize,
    },
    /// It had succeeded before, and this is no in-order replay after a crash.
    RanAgain {
        /// The row that ran.
        row: usize,
    },
}

impl Violation {
    fn row(self) -> usize {
        match self {
            Self::Overtook { row, .. } | Self::RanAgain { row } => row,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overtook { row, earlier } => {
                write!(f, "row {row} began before row {earlier} of the same entity had succeeded")
            }
            Self::RanAgain { row } => {
                write!(f, "row {row} ran again although it had succeeded, without a crash")
            }
        }
    }
}

/// Judges the runs that `ended`, in the order in which they did, those that were `dropped`, and the rows that are still
/// `held` in the failure log.
///
/// Per entity: no run begins before every earlier event has succeeded. After a crash the consumer may go back to an
/// event that had succeeded, and replays in order from there; within one life it never goes back.
#[must_use]
pub fn check(log: &EventLog, ended: &[Run], dropped: &[Run], held: &BTreeSet<usize>) -> Findings {
    let first_success = first_successes(log, ended);
    let earlier = earlier_rows(log);
    let overtook = |run: &Run| {
        let earlier = earlier[run.row]?;
        let had_succeeded = first_success[earlier].is_some_and(|position| position < run.began);
        (!had_succeeded).then_some(Violation::Overtook { row: run.row, earlier })
    };
    let mut violations: Vec<Violation> = ended.iter().chain(dropped).filter_map(overtook).collect();
    violations.extend(runs_again(log, ended, &first_success));

    let misordered_entities = violations.iter().map(|found| log.events[found.row()].entity).collect();
    let is_missing = |row: &usize| first_success[*row].is_none() && !held.contains(row);
    let unaccounted = (0..log.events.len()).filter(is_missing).collect();
    Findings { violations, misordered_entities, unaccounted }
}

/// Where in the order of ends each row first succeeded.
fn first_successes(log: &EventLog, ended: &[Run]) -> Vec<Option<usize>> {
    let mut first = vec![None; log.events.len()];
    for (position, run) in ended.iter().enumerate() {
        if run.ok == Some(true) {
            first[run.row].get_or_insert(position);
        }
    }
    first
}

/// The row before each row in its entity. To look at that one is enough: it has succeeded in order itself, or is found.
fn earlier_rows(log: &EventLog) -> Vec<Option<usize>> {
    let mut earlier = vec![None; log.events.len()];
    for rows in &log.rows_of {
        for pair in rows.windows(2) {
            earlier[pair[1]] = Some(pair[0]);
        }
    }
    earlier
}

/// Runs of what had succeeded that go back within one life: behind the last run's row, or to it after its success.
fn runs_again(log: &EventLog, ended: &[Run], first_success: &[Option<usize>]) -> Vec<Violation> {
    // The last run, by entity and life.
    let mut last: HashMap<(usize, u32), &Run> = HashMap::new();
    let mut found = Vec::new();
    for (position, run) in ended.iter().enumerate() {
        let had_succeeded = first_success[run.row].is_some_and(|first| first < position);
        let place = (log.events[run.row].entity, run.life);
        match last.get(&place) {
            Some(last) if had_succeeded && is_back(run, last) => {
                found.push(Violation::RanAgain { row: run.row });
            }
            _ => {
                last.insert(place, run);
            }
        }
    }
    found
}

fn is_back(run: &Run, last: &Run) -> bool {
    run.row < last.row || (run.row == last.row && last.ok == Some(true))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn log() -> EventLog {
        EventLog::parse("log", "id", b"id\na\nb\na\na\n").unwrap()
    }

    /// A run for each (row, ok, life), one after another.
    fn runs(runs: &[(usize, bool, u32)]) -> Vec<Run> {
        let run = |(began, &(row, ok, life)): (usize, &(usize, bool, u32))| Run {
            row,
            attempt: 1,
            redelivered: false,
            ok: Some(ok),
            life,
            began,
            ended_at: Duration::ZERO,
        };
        runs.iter().enumerate().map(run).collect()
    }

    fn violations(ended: &[Run], dropped: &[Run]) -> Vec<Violation> {
        check(&log(), ended, dropped, &BTreeSet::new()).violations
    }

    #[test]
    fn runs_in_order_with_failures_in_between_are_clean() {
        let ended = runs(&[(0, false, 1), (1, true, 1), (0, true, 1), (2, true, 1), (3, true, 1)]);
        assert!(check(&log(), &ended, &[], &BTreeSet::new()).is_clean());
    }

    #[test]
    fn an_event_that_overtakes_a_failed_one_is_found() {
        let ended = runs(&[(0, false, 1), (2, true, 1), (0, true, 1)]);
        assert_eq!(violations(&ended, &[]), [Violation::Overtook { row: 2, earlier: 0 }]);
    }

    #[test]
    fn an_event_that_begins_before_the_earlier_one_ends_is_found_even_if_it_ends_later_or_never() {
        let mut ended = runs(&[(0, true, 1), (2, true, 1)]);
        ended[1].began = 0;
        let overtook = Violation::Overtook { row: 2, earlier: 0 };
        assert_eq!(violations(&ended, &[]), [overtook]);
        let never = Run { ok: None, ..ended[1] };
        assert_eq!(violations(&ended[..1], &[never]), [overtook]);
    }

    #[test]
    fn going_back_is_an_in_order_replay_after_a_crash_and_a_violation_without_one() {
        let crash = runs(&[(0, true, 1), (2, true, 1), (0, true, 2), (2, false, 2), (2, true, 2)]);
        assert_eq!(violations(&crash, &[]), []);
        let none = runs(&[(0, true, 1), (2, true, 1), (0, true, 1)]);
        assert_eq!(violations(&none, &[]), [Violation::RanAgain { row: 0 }]);
        let twice = runs(&[(0, true, 1), (0, false, 1)]);
        assert_eq!(violations(&twice, &[]), [Violation::RanAgain { row: 0 }]);
    }

    #[test]
    fn an_event_that_is_neither_handled_nor_held_is_missing() {
        let ended = runs(&[(0, true, 1), (2, false, 1)]);
        let held = BTreeSet::from([2]);
        assert_eq!(check(&log(), &ended, &[], &held).unaccounted, [1, 3]);
    }
}
