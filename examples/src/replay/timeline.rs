//! The timeline of one entity that failed, drawn in text.
//!
//! A row for each event, and a column for each thing that happened to the entity, in the order in which it did:
//!
//! ```text
//!      row  event
//!       12  order placed      ├✓
//!       31  payment received   ├✗✗~✓
//!       40  stock reserved        ├═✓
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use ordered_consumer::display_safe;

use super::{EventLog, Run};

/// How many things may have happened to an entity for its timeline to fit on a screen.
const COLUMNS_MAX: usize = 56;
/// How much of an event's name is shown.
const NAME_CHARS_MAX: usize = 28;

/// Something that happened to an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    at: Duration,
    /// Where the run is in the order of ends; arrivals at the same time come before.
    position: Option<usize>,
    row: usize,
    ok: bool,
}

/// Draws the entity whose failure held back the most events, among those that fit on a screen; none when none failed.
pub(super) fn draw(
    log: &EventLog,
    ended: &[Run],
    arrival: &dyn Fn(usize) -> Option<Duration>,
    held: &BTreeSet<usize>,
) -> Option<String> {
    let mut runs_of: BTreeMap<usize, Vec<(usize, &Run)>> = BTreeMap::new();
    for (position, run) in ended.iter().enumerate() {
        runs_of.entry(log.events[run.row].entity).or_default().push((position, run));
    }
    let fits = |entity: usize, runs: &[(usize, &Run)]| runs.len() + log.rows_of[entity].len() <= COLUMNS_MAX;
    let candidates = runs_of
        .iter()
        .filter(|(entity, runs)| runs.iter().any(|(_, run)| run.ok == Some(false)) && fits(**entity, runs));
    // One that failed and was handled in the end tells the most.
    let merit = |entity: usize, runs: &[(usize, &Run)]| {
        let rows = &log.rows_of[entity];
        let is_through = !rows.iter().any(|row| held.contains(row));
        let failures = runs.iter().filter(|(_, run)| run.ok == Some(false)).count();
        let waited = rows.iter().filter(|row| had_to_wait(**row, rows, runs, arrival)).count();
        (is_through && failures > 1, waited.min(5), failures)
    };
    let (entity, runs) = candidates.max_by_key(|(entity, runs)| merit(**entity, runs))?;
    Some(draw_entity(log, *entity, &moments(&log.rows_of[*entity], runs, arrival), held))
}

/// Whether the row had arrived when an earlier one failed, or between that and its success.
fn had_to_wait(
    row: usize,
    rows: &[usize],
    runs: &[(usize, &Run)],
    arrival: &dyn Fn(usize) -> Option<Duration>,
) -> bool {
    let Some(arrived) = arrival(row) else { return false };
    let earlier = rows.iter().take_while(|earlier| **earlier < row);
    earlier.into_iter().any(|earlier| {
        let of_earlier = || runs.iter().filter(|(_, run)| run.row == *earlier);
        let failed = of_earlier().any(|(_, run)| run.ok == Some(false));
        failed && of_earlier().any(|(_, run)| run.ok == Some(true) && run.ended_at > arrived)
    })
}

fn moments(
    rows: &[usize],
    runs: &[(usize, &Run)],
    arrival: &dyn Fn(usize) -> Option<Duration>,
) -> Vec<Moment> {
    let arrivals = rows.iter().filter_map(|&row| {
        let at = arrival(row)?;
        Some(Moment { at, position: None, row, ok: true })
    });
    let ends = runs.iter().map(|&(position, run)| Moment {
        at: run.ended_at,
        position: Some(position),
        row: run.row,
        ok: run.ok == Some(true),
    });
    let mut moments: Vec<Moment> = arrivals.chain(ends).collect();
    moments.sort_unstable();
    moments
}

fn draw_entity(log: &EventLog, entity: usize, moments: &[Moment], held: &BTreeSet<usize>) -> String {
    let rows = &log.rows_of[entity];
    let name = display_safe(&log.entities[entity]).to_string();
    let start = moments.first().map_or(Duration::ZERO, |first| first.at);
    let columns = columns(moments);
    let names: Vec<String> = rows.iter().map(|row| short(&log.events[*row].activity)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    let mut text = format!("Timeline of {name}, from left to right as it happened:\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {:>7}  event", "row");
    for (&row, name) in rows.iter().zip(&names) {
        let drawn = draw_row(row, &columns, held.contains(&row));
        let end = outcome(row, moments, start, held);
        let columns = columns.len() + 1;
        let _ = writeln!(text, "  {row:>7}  {name:<width$}  {drawn:<columns$}  {end}");
    }
    text.push_str("  ├ arrived  ─ waits for its turn  ✗ failed  ~ waits for its retry  ");
    text.push_str("═ held behind a failed one  ✓ handled\n");
    text
}

/// A column for each end of a run, and one for arrivals that follow each other.
fn columns(moments: &[Moment]) -> Vec<&[Moment]> {
    moments.chunk_by(|one, next| one.position.is_none() && next.position.is_none()).collect()
}

/// One row: what happened to the event in each column, and what it was waiting for in between.
fn draw_row(row: usize, columns: &[&[Moment]], is_held: bool) -> String {
    let mut drawn = String::new();
    let (mut has_arrived, mut has_failed) = (false, false);
    let mut failed = BTreeSet::new();
    let last = columns.iter().rposition(|column| column.iter().any(|moment| moment.row == row));
    for (at, column) in columns.iter().enumerate() {
        let own = column.iter().find(|moment| moment.row == row);
        let is_over = !is_held && last.is_none_or(|last| at > last);
        drawn.push(match own.map(|moment| (moment.position, moment.ok)) {
            Some((None, _)) => '├',
            Some((Some(_), true)) => '✓',
            Some((Some(_), false)) => '✗',
            None if is_over || !has_arrived => ' ',
            None if has_failed => '~',
            None if failed.iter().any(|earlier| *earlier < row) => '═',
            None => '─',
        });
        has_arrived |= own.is_some();
        for end in column.iter().filter(|moment| moment.position.is_some()) {
            if end.row == row {
                has_failed = !end.ok;
            } else if end.ok {
                failed.remove(&end.row);
            } else {
                failed.insert(end.row);
            }
        }
    }
    drawn
}

fn outcome(row: usize, moments: &[Moment], start: Duration, held: &BTreeSet<usize>) -> String {
    let attempts = moments.iter().filter(|moment| moment.row == row && moment.position.is_some()).count();
    let success =
        moments.iter().rev().find(|moment| moment.row == row && moment.position.is_some() && moment.ok);
    match (success, held.contains(&row)) {
        (Some(success), _) => {
            let millis = success.at.saturating_sub(start).as_secs_f64() * 1_000.0;
            let tries = if attempts > 1 { format!(", run {attempts}") } else { String::new() };
            format!("{millis:.1} ms{tries}")
        }
        (None, true) if attempts > 0 => format!("held, failed {attempts} times"),
        (None, true) => "held behind it".to_owned(),
        (None, false) => String::new(),
    }
}

fn short(activity: &str) -> String {
    let shown = display_safe(activity).to_string();
    match shown.char_indices().nth(NAME_CHARS_MAX) {
        None => shown,
        Some(_) => shown.chars().take(NAME_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_event_and_those_behind_it_are_drawn_one_row_each() {
        let log = EventLog::parse("log", "id", b"id,event\na,placed\na,paid\na,\x1b[2Jsent\n").unwrap();
        let millis = Duration::from_millis;
        let run = |row, ok, at| Run {
            row,
            attempt: 1,
            redelivered: false,
            ok: Some(ok),
            life: 1,
            began: 0,
            ended_at: millis(at),
        };
        let ended = [run(0, true, 2), run(1, false, 4), run(1, true, 9), run(2, true, 11)];
        let arrival = |row: usize| Some(millis([1, 3, 5][row]));
        let drawn = draw(&log, &ended, &arrival, &BTreeSet::new()).unwrap();
        let lines: Vec<&str> = drawn.lines().skip(2).take(3).collect();
        assert!(lines[0].contains("placed") && lines[0].contains("├✓"), "{drawn}");
        assert!(lines[1].contains("├✗~✓") && lines[1].contains("8.0 ms, run 2"), "{drawn}");
        assert!(lines[2].contains("├═✓"), "{drawn}");
        assert!(!drawn.contains('\x1b'), "{drawn}");
    }

    #[test]
    fn nothing_is_drawn_where_nothing_failed() {
        let log = EventLog::parse("log", "id", b"id\na\n").unwrap();
        assert_eq!(draw(&log, &[], &|_| None, &BTreeSet::new()), None);
    }
}
