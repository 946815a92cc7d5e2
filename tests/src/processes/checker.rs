//! Judges a recording. It shares no code with the product: it knows the format of the recording's lines, in words of its
//! own, and what was sent.
//!
//! # What it demands
//!
//! For each entity of each stream, going by the order of the lines:
//! 1. **Order.** No run begins before every earlier event of the entity has succeeded once. Nothing excuses this: also a
//!    process that was stopped and goes on had been told to run that event when its time had come, and the time of what
//!    is before it cannot come again.
//! 2. **First successes are in order.** Follows from 1, and is checked for itself.
//! 3. **Nothing is missing.** Every event that was sent has succeeded.
//! 4. **Nothing that was not sent** has run.
//! 5. **One at a time.** While a run of an entity is under way no other begins, unless the older one's process was killed
//!    or stopped since it began, or was declared dead, or the broker gave the event out again, or the store was in
//!    trouble; or unless the younger one is the first of its entity in a process since that process went on after a
//!    stop: it may have been decided before the stop. Outside effects of a stopped process cannot be fenced.
//!    What such a late run overlaps is excused, too.
//! 6. **Duplicates are explained.** An event that has succeeded is run again only if, since its last success began (of
//!    those that are not such late runs, if there are others), that success's process was killed, stopped or declared dead, or the event was given out again by the broker, or
//!    the store was in trouble, or its process handed the stream over and had not settled the event (something before it
//!    had not been begun, and a broker of owned streams knows of one position only); or if the run that comes again is excused by 5's last clause.
//!
//! A line without its end is one that its process was killed in the middle of: as many are passed over as processes were
//! killed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

type Entity = (String, String);

/// What is said of an event that was handled again although nothing that happened explains it.
pub const RAN_AGAIN: &str = "ran again without a reason";

/// What was sent: the indexes of each entity of each stream.
pub type Sent = BTreeMap<Entity, BTreeSet<u128>>;

/// What a recording shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong; empty when all is well.
    pub wrong: Vec<String>,
    /// How many runs began.
    pub runs: usize,
    /// How many runs began of events that had succeeded before, all explained unless `wrong` says so.
    pub duplicates: usize,
    /// How many runs failed.
    pub failures: usize,
    /// How many runs began while an older one of their entity had not ended, all explained unless `wrong` says so.
    pub overlaps: usize,
}

/// A run that has begun.
#[derive(Clone, Debug)]
struct Begun {
    line: usize,
    process: u64,
    run: u64,
    index: u128,
    /// It may have been decided before its process was stopped, so that it may run beside others.
    late: bool,
}

#[derive(Debug, Default)]
struct History {
    open: Vec<Begun>,
    /// Each event's successful runs.
    succeeded: BTreeMap<u128, Vec<Begun>>,
    /// The line of the latest beginning in each process.
    last_in: BTreeMap<u64, usize>,
}

/// What happened to processes, by line.
#[derive(Debug, Default)]
struct Troubles {
    of_process: BTreeMap<u64, Vec<usize>>,
    continued: BTreeMap<u64, usize>,
    ran_out: BTreeMap<(String, u128), usize>,
    /// By stream and process: where it was handed over, and from which index on events come again.
    handed_over: BTreeMap<(String, u64), Vec<(usize, u128)>>,
    store: Option<usize>,
}

impl Troubles {
    fn explain(&self, since: usize, process: u64, stream: &str, index: u128) -> bool {
        let struck = self.of_process.get(&process).and_then(|lines| lines.last());
        let ran_out = self.ran_out.get(&(stream.to_owned(), index));
        let handed_over = self.handed_over.get(&(stream.to_owned(), process)).into_iter().flatten();
        let handed_over = handed_over.filter(|(_, from)| index >= *from).map(|(line, _)| line).next_back();
        [struck, ran_out, handed_over, self.store.as_ref()].into_iter().flatten().any(|line| *line > since)
    }
}

/// Judges a recording's text, given what was sent.
#[must_use]
pub fn check(sent: &Sent, recording: &str) -> Verdict {
    let (mut verdict, mut troubles) = (Verdict::default(), Troubles::default());
    let mut histories = BTreeMap::<Entity, History>::new();
    let (mut kills, mut torn) = (0, 0);
    for (line, text) in recording.lines().enumerate().filter(|(_, text)| !text.is_empty()) {
        match serde_json::from_str::<Value>(text) {
            Ok(said) => {
                kills += u32::from(said["what"] == "kill");
                judge(sent, line, &said, &mut histories, &mut troubles, &mut verdict);
            }
            Err(error) if error.is_eof() => torn += 1,
            Err(_) => verdict.wrong.push(format!("line {line} is no JSON: {text}")),
        }
    }
    // Each process that is killed may have been writing a line, and then it had done nothing of what that would have said.
    if torn > kills {
        verdict.wrong.push(format!("{torn} lines have no end, and {kills} processes were killed"));
    }
    for (entity, indexes) in sent {
        let none = BTreeMap::new();
        let done = histories.get(entity).map_or(&none, |history| &history.succeeded);
        let missing: Vec<_> = indexes.iter().filter(|index| !done.contains_key(index)).collect();
        if !missing.is_empty() {
            verdict.wrong.push(format!("of {entity:?} these never succeeded: {missing:?}"));
        }
    }
    verdict
}

fn number(said: &Value, name: &str) -> u64 {
    said.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX)
}

/// Decimal digits, because most readers of JSON take a number of more than 53 bits for a fraction.
fn index(said: &Value) -> u128 {
    said.get("index").and_then(Value::as_str).and_then(|digits| digits.parse().ok()).unwrap_or(u128::MAX)
}

fn text(said: &Value, name: &str) -> String {
    said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn judge(
    sent: &Sent,
    line: usize,
    said: &Value,
    histories: &mut BTreeMap<Entity, History>,
    troubles: &mut Troubles,
    verdict: &mut Verdict,
) {
    let (what, process) = (text(said, "what"), number(said, "process"));
    match what.as_str() {
        "kill" | "stop" | "declared_dead" => troubles.of_process.entry(process).or_default().push(line),
        "continue" => drop(troubles.continued.insert(process, line)),
        "time_ran_out" => drop(troubles.ran_out.insert((text(said, "stream"), index(said)), line)),
        "handed_over" => {
            let stream = (text(said, "stream"), process);
            troubles.handed_over.entry(stream).or_default().push((line, index(said)));
        }
        "store_trouble" => troubles.store = Some(line),
        "began" | "succeeded" | "failed" => {
            let entity = (text(said, "stream"), text(said, "entity"));
            let begun = Begun { line, process, run: number(said, "run"), index: index(said), late: false };
            let Some(indexes) = sent.get(&entity).filter(|indexes| indexes.contains(&begun.index)) else {
                verdict.wrong.push(format!("line {line}: {entity:?} {} was never sent", begun.index));
                return;
            };
            let history = histories.entry(entity.clone()).or_default();
            if what == "began" {
                begins(&entity, indexes, begun, history, troubles, verdict);
            } else {
                ends(&entity, indexes, &begun, what == "succeeded", history, verdict);
            }
        }
        other => verdict.wrong.push(format!("line {line} says {other:?}, which nobody says")),
    }
}

fn begins(
    (stream, entity): &Entity,
    indexes: &BTreeSet<u128>,
    mut begun: Begun,
    history: &mut History,
    troubles: &Troubles,
    verdict: &mut Verdict,
) {
    verdict.runs += 1;
    let Begun { line, process, index, .. } = begun;
    let place = format!("line {line}, process {process}: {entity} {index} of {stream}");
    if let Some(earlier) = indexes.range(..index).find(|earlier| !history.succeeded.contains_key(earlier)) {
        verdict.wrong.push(format!("{place} began before {earlier} had succeeded"));
    }
    // It may have been decided before its process was stopped, if it is the first of its entity since that went on.
    let went_on = troubles.continued.get(&process).copied();
    let last_here = history.last_in.insert(process, line);
    let decided_before_a_stop = went_on.is_some_and(|went_on| last_here.is_none_or(|last| last < went_on));
    if !history.open.is_empty() {
        verdict.overlaps += 1;
    }
    for open in &history.open {
        let explained = decided_before_a_stop
            || open.late
            || troubles.explain(open.line, open.process, stream, open.index);
        if !explained {
            let Begun { line, process, index, .. } = open;
            verdict
                .wrong
                .push(format!("{place} began while {index} ran in process {process} since line {line}"));
        }
    }
    if let Some(successes) = history.succeeded.get(&index) {
        verdict.duplicates += 1;
        // Of a late run nobody else knows, so that what counts is the last one before or beside it.
        let last = successes.iter().max_by_key(|run| (!run.late, run.line));
        let explained = last.is_some_and(|run| troubles.explain(run.line, run.process, stream, index));
        if !decided_before_a_stop && !explained {
            verdict.wrong.push(format!("{place} {RAN_AGAIN}, after {successes:?}"));
        }
    }
    begun.late = decided_before_a_stop;
    history.open.push(begun);
}

fn ends(
    (stream, entity): &Entity,
    indexes: &BTreeSet<u128>,
    end: &Begun,
    succeeded: bool,
    history: &mut History,
    verdict: &mut Verdict,
) {
    let place = format!("line {}, process {}: {entity} {} of {stream}", end.line, end.process, end.index);
    let open = history
        .open
        .iter()
        .position(|open| (open.process, open.run, open.index) == (end.process, end.run, end.index));
    let Some(open) = open else {
        verdict.wrong.push(format!("{place} ended and had not begun"));
        return;
    };
    let begun = history.open.remove(open);
    if !succeeded {
        verdict.failures += 1;
        return;
    }
    if let Some(earlier) = indexes.range(..end.index).find(|earlier| !history.succeeded.contains_key(earlier))
    {
        verdict.wrong.push(format!("{place} succeeded before {earlier}"));
    }
    history.succeeded.entry(end.index).or_default().push(begun);
}
