//! Which attempts fail.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hasher as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use siphasher::sip::SipHasher13;

use super::EventLog;

/// Decides which attempts fail: by the seed, the row and the attempt's number alone, so that the same attempt fails in
/// every replay, whatever ran beside it.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    chance: f64,
    /// Rows that fail until an operator releases their entity.
    stuck: BTreeSet<usize>,
    /// How often an operator has released each entity: its attempts are counted anew then, and drawn anew.
    releases: Mutex<HashMap<usize, u64>>,
}

impl Faults {
    /// Draws `park` entities, and in each an event that fails until it is released.
    #[must_use]
    pub fn draw(log: &EventLog, seed: u64, chance: f64, park: usize) -> Self {
        let mut entities: Vec<usize> = (0..log.entities.len()).collect();
        entities.sort_by_key(|&entity| hash(seed, b'e', &[entity]));
        let stuck_row = |&entity: &usize| {
            let rows = &log.rows_of[entity];
            // Not the last one where there is a choice, so that something is held behind it.
            let choice = rows.len().saturating_sub(1).max(1);
            rows[pick(hash(seed, b'r', &[entity]), choice)]
        };
        let stuck = entities.iter().take(park).map(stuck_row).collect();
        Self { seed, chance, stuck, releases: Mutex::default() }
    }

    /// Whether this attempt on the row fails.
    #[must_use]
    pub fn fails(&self, row: usize, entity: usize, attempt: u32) -> bool {
        let releases = self.releases().get(&entity).copied().unwrap_or(0);
        if releases == 0 && self.stuck.contains(&row) {
            return true;
        }
        let mut hasher = hasher(self.seed, b'f');
        hasher.write_usize(row);
        hasher.write_u32(attempt);
        hasher.write_u64(releases);
        unit(hasher.finish()) < self.chance
    }

    /// An operator has released the entity.
    pub fn release(&self, entity: usize) {
        *self.releases().entry(entity).or_default() += 1;
    }

    /// The rows that fail until they are released.
    #[must_use]
    pub fn stuck(&self) -> &BTreeSet<usize> {
        &self.stuck
    }

    fn releases(&self) -> MutexGuard<'_, HashMap<usize, u64>> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Draws the points of progress at which the consumer is dropped: ascending, in runs of the handler that have ended.
pub(super) fn crash_points(seed: u64, crashes: usize, runs: usize) -> Vec<usize> {
    let mut points: Vec<usize> =
        (0..crashes).map(|crash| 1 + pick(hash(seed, b'c', &[crash]), runs.max(1))).collect();
    points.sort_unstable();
    points
}

/// A delay of 0 to `max` milliseconds, by the row and the attempt.
pub(super) fn delay_ms(seed: u64, row: usize, attempt: u32, max: usize) -> u64 {
    let attempt = usize::try_from(attempt).unwrap_or(usize::MAX);
    let picked = pick(hash(seed, b'd', &[row, attempt]), max.saturating_add(1));
    u64::try_from(picked).unwrap_or(0)
}

fn hasher(seed: u64, purpose: u8) -> SipHasher13 {
    SipHasher13::new_with_keys(seed, purpose.into())
}

fn hash(seed: u64, purpose: u8, numbers: &[usize]) -> u64 {
    let mut hasher = hasher(seed, purpose);
    for number in numbers {
        hasher.write_usize(*number);
    }
    hasher.finish()
}

/// One of 0 to `choices` - 1.
fn pick(hash: u64, choices: usize) -> usize {
    let choices = u64::try_from(choices).unwrap_or(u64::MAX).max(1);
    usize::try_from(hash % choices).unwrap_or(0)
}

/// From 0 to just below 1: the 53 bits that an `f64` has room for.
fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> EventLog {
        let rows: String = (0..10_000).map(|row| format!("e{}\n", row % 100)).collect();
        EventLog::parse("log", "id", format!("id\n{rows}").as_bytes()).unwrap()
    }

    #[test]
    fn the_same_attempts_fail_whenever_they_are_asked_about_and_about_as_many_as_wanted() {
        let log = log();
        let (one, two) = (Faults::draw(&log, 7, 0.05, 0), Faults::draw(&log, 7, 0.05, 0));
        let failing = |faults: &Faults, rows: &mut dyn Iterator<Item = usize>| -> BTreeSet<usize> {
            rows.filter(|&row| faults.fails(row, log.events[row].entity, 1)).collect()
        };
        let forwards = failing(&one, &mut (0..10_000));
        assert_eq!(forwards, failing(&two, &mut (0..10_000).rev()));
        assert!((400..600).contains(&forwards.len()), "{}", forwards.len());
        assert_ne!(forwards, failing(&Faults::draw(&log, 8, 0.05, 0), &mut (0..10_000)));
    }

    #[test]
    fn a_chance_of_0_never_fails_and_one_of_1_always() {
        let log = log();
        let (never, always) = (Faults::draw(&log, 7, 0.0, 0), Faults::draw(&log, 7, 1.0, 0));
        assert!((0..10_000).all(|row| !never.fails(row, 0, 1) && always.fails(row, 0, 1)));
    }

    #[test]
    fn a_stuck_event_fails_until_its_entity_is_released() {
        let log = log();
        let faults = Faults::draw(&log, 7, 0.0, 3);
        assert_eq!(faults.stuck().len(), 3);
        for &row in faults.stuck() {
            let entity = log.events[row].entity;
            assert!((1..50).all(|attempt| faults.fails(row, entity, attempt)));
            faults.release(entity);
            assert!((1..50).all(|attempt| !faults.fails(row, entity, attempt)));
        }
    }
}
