//! The same log through a plain retry queue, as most consumers have one.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    time::Duration,
};

use super::{EventLog, Faults, Run, life::retry_delay};

/// What one run takes, by the clock that only this queue goes by.
const RUN_MICROS: u64 = 20;

/// Handles every event in the log's order; one that fails goes to the back of a retry queue, with the same delays and
/// as many attempts as the product makes, while later events go on. Returns the runs in the order in which they ended,
/// and the rows that were given up (a dead-letter queue would have them).
///
/// One consumer, one event at a time, and a clock of its own: the most orderly that such a queue can be, and the same
/// in every run.
#[must_use]
pub fn naive(log: &EventLog, faults: &Faults) -> (Vec<Run>, BTreeSet<usize>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut given_up = BTreeSet::new();
    let mut queue = BinaryHeap::new();
    let mut rows = 0..log.events.len();
    let mut now_micros = 0_u64;
    loop {
        let due = |due_micros: u64| due_micros <= now_micros || rows.is_empty();
        let (row, attempt) = match queue.peek() {
            Some(&Reverse((due_micros, row, attempt))) if due(due_micros) => {
                queue.pop();
                now_micros = now_micros.max(due_micros);
                (row, attempt)
            }
            _ => match rows.next() {
                Some(row) => (row, 1),
                None => return (runs, given_up),
            },
        };
        now_micros += RUN_MICROS;
        let fails = faults.fails(row, log.events[row].entity, attempt);
        runs.push(Run {
            row,
            attempt,
            redelivered: attempt > 1,
            ok: Some(!fails),
            life: 1,
            began: runs.len(),
            ended_at: Duration::from_micros(now_micros),
        });
        match retry_delay(attempt).filter(|_| fails) {
            Some(delay) => {
                let delay_micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
                queue.push(Reverse((now_micros.saturating_add(delay_micros), row, attempt + 1)));
            }
            None if fails => {
                given_up.insert(row);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::check;

    fn log() -> EventLog {
        let rows: String = (0..3_000).map(|row| format!("e{}\n", row / 10)).collect();
        EventLog::parse("log", "id", format!("id\n{rows}").as_bytes()).unwrap()
    }

    #[test]
    fn a_failure_lets_later_events_of_its_entity_overtake_it() {
        let log = log();
        let (runs, given_up) = naive(&log, &Faults::draw(&log, 1, 0.05, 1));
        let findings = check(&log, &runs, &[], &given_up);
        assert!(findings.misordered_entities.len() > 50, "{}", findings.misordered_entities.len());
        assert_eq!(findings.unaccounted, [0_usize; 0]);
    }

    #[test]
    fn without_a_failure_even_a_plain_queue_keeps_the_order() {
        let log = log();
        let (runs, given_up) = naive(&log, &Faults::draw(&log, 1, 0.0, 0));
        assert!(check(&log, &runs, &[], &given_up).is_clean());
    }
}
