//! What an observer has seen.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::StreamName;

/// What was seen of one stream, and what would have been held of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObservedStream {
    /// Runs of the handler.
    pub runs: u64,
    /// Those that failed.
    pub failed: u64,
    /// Entities that have failed; one that was forgotten meanwhile counts again.
    pub entities_failed: u64,
    /// Times that an entity would have been gated.
    pub gated: u64,
    /// Later events of such entities that overtook: they would have been held.
    pub would_hold: u64,
    /// Times that an entity would have been parked for an operator.
    pub would_park: u64,
    /// Runs that said that what they need is away: the stream would have paused.
    pub unavailable: u64,
    /// Entities that would be gated at this moment.
    pub gated_now: u64,
    /// Events that would be held at this moment.
    pub held_now: u64,
    /// The longest time that an event would have been held.
    pub longest_hold: Duration,
    /// How long events would have been held in all, added up.
    pub total_hold: Duration,
    /// The longest time that an entity would have been gated.
    pub longest_gate: Duration,
}

impl ObservedStream {
    pub(super) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.failed += other.failed;
        self.entities_failed += other.entities_failed;
        self.gated += other.gated;
        self.would_hold += other.would_hold;
        self.would_park += other.would_park;
        self.unavailable += other.unavailable;
        self.gated_now += other.gated_now;
        self.held_now += other.held_now;
        self.longest_hold = self.longest_hold.max(other.longest_hold);
        self.total_hold = self.total_hold.saturating_add(other.total_hold);
        self.longest_gate = self.longest_gate.max(other.longest_gate);
    }
}

/// What an [`Observer`](crate::Observer) has seen. Its [`Display`](fmt::Display) is a summary for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserveReport {
    /// Each stream, by its name; those beyond 4,096 together, without a name, in `others`.
    pub streams: BTreeMap<StreamName, ObservedStream>,
    /// Streams that are not told apart.
    pub others: ObservedStream,
    /// Entities that were forgotten, because more had failed than are remembered: above zero, what would be held is told
    /// too low.
    pub forgotten: u64,
}

impl ObserveReport {
    /// All streams together.
    #[must_use]
    pub fn total(&self) -> ObservedStream {
        let mut total = self.others;
        self.streams.values().for_each(|stream| total.add(stream));
        total
    }
}

/// Rounded to what people can use.
struct Rounded(Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..120 => write!(f, "{}.{} s", seconds, self.0.subsec_millis() / 100),
            120..7_200 => write!(f, "{} min", seconds / 60),
            7_200..172_800 => write!(f, "{} h {} min", seconds / 3_600, seconds / 60 % 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &dyn fmt::Display, seen: &ObservedStream) -> fmt::Result {
    writeln!(f, "{name}: {} runs, {} failed", seen.runs, seen.failed)?;
    if seen.unavailable > 0 {
        writeln!(f, "  {} said that what they need is away: the stream would have paused", seen.unavailable)?;
    }
    if seen.gated > 0 {
        let ObservedStream { entities_failed, gated, would_hold, would_park, .. } = seen;
        writeln!(
            f,
            "  {entities_failed} entities would have been gated, {gated} times, {would_park} of them parked"
        )?;
        writeln!(f, "  {would_hold} later events overtook; they would have been held")?;
        let (longest, total, gate) =
            (Rounded(seen.longest_hold), Rounded(seen.total_hold), Rounded(seen.longest_gate));
        writeln!(f, "  held for {longest} at most, {total} in all; the longest gate {gate}")?;
        writeln!(f, "  now: {} entities gated, {} events held", seen.gated_now, seen.held_now)?;
    }
    Ok(())
}

impl fmt::Display for ObserveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (stream, seen) in &self.streams {
            line(f, stream, seen)?;
        }
        if self.streams.len() != 1 || self.others.runs > 0 {
            line(f, &"all streams", &self.total())?;
        }
        if self.forgotten > 0 {
            writeln!(f, "{} entities were forgotten: what would be held is told too low", self.forgotten)?;
        }
        Ok(())
    }
}
