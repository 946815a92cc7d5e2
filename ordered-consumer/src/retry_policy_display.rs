//! How a retry policy tells its schedule.

use std::{fmt, time::Duration};

use crate::{RetryPolicy, retry_schedule::DELAY_MAX};

/// How many delays are told before the dots.
const DELAYS_SHOWN: usize = 4;
/// How many delays are added up to tell how long they take together.
const DELAYS_ADDED_MAX: u32 = 1_000;

impl fmt::Display for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let immediate = self.immediate.min(self.attempts_max.saturating_sub(1));
        match immediate {
            0 => {}
            1 => f.write_str("at once, ")?,
            times => write!(f, "at once {times} times, ")?,
        }
        self.tell_delays(f, immediate)?;
        self.tell_end(f)
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RetryPolicy({self})")
    }
}

impl RetryPolicy {
    /// The delay after so many attempts, without jitter; none when it parks then.
    fn told(&self, attempts: u32) -> Option<Duration> {
        if self.is_used_up(attempts, Duration::ZERO) { None } else { self.delay(attempts) }
    }

    fn is_level_at(&self, delay: Duration) -> bool {
        self.schedule.is_level_at(delay, self.max_delay)
    }

    fn tell_delays(&self, f: &mut fmt::Formatter<'_>, immediate: u32) -> fmt::Result {
        // Attempts are counted as those made so far: the first delayed one comes after the first and the immediate ones.
        let delays = (1..=u32::MAX - immediate).map_while(|nth| self.told(immediate + nth));
        let mut delays = delays.take(DELAYS_SHOWN + 1).peekable();
        match delays.peek() {
            None if immediate == 0 => return f.write_str("no retries, "),
            None => return Ok(()),
            Some(first) if self.is_level_at(*first) && first.is_zero() => {
                return f.write_str("always at once, ");
            }
            Some(first) if self.is_level_at(*first) => return write!(f, "every {}, ", Humane(*first)),
            Some(_) => {}
        }
        for nth in 0..DELAYS_SHOWN {
            let Some(delay) = delays.next() else { break };
            let is_last = nth + 1 == DELAYS_SHOWN || delays.peek().is_none();
            write!(f, "{}{}", Humane(delay), if is_last { "" } else { ", " })?;
        }
        let is_capped = self.max_delay < DELAY_MAX
            && self.told(self.attempts_max.saturating_sub(1).min(DELAYS_ADDED_MAX)) == Some(self.max_delay);
        match delays.next() {
            Some(_) if is_capped => write!(f, " … up to {}, ", Humane(self.max_delay)),
            Some(_) => f.write_str(" …, "),
            None => f.write_str(", "),
        }
    }

    fn tell_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.whole();
        let attempts = match (whole, self.attempts_max) {
            (Some((attempts, _)), _) => Some(attempts),
            (None, u32::MAX) => None,
            (None, attempts) => Some(attempts),
        };
        match (attempts, self.age_max) {
            (None, None) if self.schedule.is_custom() => f.write_str("parks when its own function says so"),
            (None, None) => f.write_str("never parks"),
            (None, Some(age)) => write!(f, "parks after {}", Humane(age)),
            (Some(1), _) => f.write_str("parks after 1 attempt"),
            (Some(attempts), Some(age)) => write!(f, "parks after {attempts} attempts or {}", Humane(age)),
            (Some(attempts), None) => {
                write!(f, "parks after {attempts} attempts")?;
                match whole {
                    Some((_, total)) if !total.is_zero() => write!(f, " in about {}", Humane(total)),
                    _ => Ok(()),
                }
            }
        }
    }

    /// How many attempts there are, and how long they take together without jitter and the handler's own time; none
    /// when there is no end, or it is not known.
    pub(crate) fn whole(&self) -> Option<(u32, Duration)> {
        let first_delayed = self.immediate.saturating_add(1);
        let mut total = Duration::ZERO;
        if first_delayed >= self.attempts_max {
            return (self.attempts_max < u32::MAX).then_some((self.attempts_max, total));
        }
        for attempts in first_delayed..first_delayed.saturating_add(DELAYS_ADDED_MAX) {
            let Some(delay) = self.told(attempts) else { return Some((attempts, total)) };
            if self.is_level_at(delay) {
                // All further delays are the same, and there may be thousands of millions of them.
                let left = self.attempts_max - attempts.min(self.attempts_max);
                let total = total.saturating_add(delay.saturating_mul(left));
                return (self.attempts_max < u32::MAX).then_some((self.attempts_max, total));
            }
            total = total.saturating_add(delay);
        }
        None
    }
}

/// A span in the unit that suits it.
struct Humane(Duration);

impl fmt::Display for Humane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        // To the nearest whole one, because a fraction of what has two digits says little.
        let whole = |unit: u64| seconds.saturating_add(unit / 2) / unit;
        match seconds {
            0 if self.0.is_zero() => f.write_str("at once"),
            0 if self.0.as_millis() == 0 => write!(f, "{} µs", self.0.as_micros().max(1)),
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..=9 if self.0.subsec_millis() >= 50 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            1..=119 if seconds < 60 || !seconds.is_multiple_of(60) => write!(f, "{seconds} s"),
            60..=7_199 => write!(f, "{} min", whole(60)),
            7_200..=172_799 => write!(f, "{} h", whole(3_600)),
            _ => write!(f, "{} d", whole(86_400)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_policy_tells_its_schedule() {
        let told = |policy: RetryPolicy| policy.to_string();
        let fixed = || RetryPolicy::fixed(SECOND * 30);
        let doubled = || RetryPolicy::exponential(SECOND, 2.0);
        assert_eq!(told(RetryPolicy::none()), "no retries, parks after 1 attempt");
        assert_eq!(told(fixed()), "every 30 s, parks after 15 attempts in about 7 min");
        assert_eq!(told(fixed().attempts_max(2)), "every 30 s, parks after 2 attempts in about 30 s");
        assert_eq!(told(fixed().unlimited_attempts()), "every 30 s, never parks");
        assert_eq!(
            told(fixed().unlimited_attempts().age_max(SECOND * 3_600)),
            "every 30 s, parks after 60 min"
        );
        assert_eq!(told(fixed().age_max(SECOND * 60)), "every 30 s, parks after 15 attempts or 1 min");
        assert_eq!(told(fixed().immediate(2).attempts_max(3)), "at once 2 times, parks after 3 attempts");
        assert_eq!(told(fixed().immediate(9).attempts_max(2)), "at once, parks after 2 attempts");
        assert_eq!(told(RetryPolicy::fixed(Duration::ZERO)), "always at once, parks after 15 attempts");
        assert_eq!(told(doubled().attempts_max(4)), "1 s, 2 s, 4 s, parks after 4 attempts in about 7 s");
        assert_eq!(
            told(doubled().attempts_max(8)),
            "1 s, 2 s, 4 s, 8 s …, parks after 8 attempts in about 2 min"
        );
        assert_eq!(told(doubled().unlimited_attempts()), "1 s, 2 s, 4 s, 8 s … up to 5 min, never parks");
        assert_eq!(
            told(RetryPolicy::exponential(SECOND, 1.5).attempts_max(4).max_delay(SECOND * 2)),
            "1 s, 1.5 s, 2 s, parks after 4 attempts in about 4.5 s"
        );
    }

    #[test]
    fn a_schedule_of_ones_own_is_told_as_far_as_it_is_known() {
        let endless = RetryPolicy::custom(|attempts| Some(SECOND * attempts));
        assert_eq!(endless.to_string(), "1 s, 2 s, 3 s, 4 s …, parks when its own function says so");
        let ending = RetryPolicy::custom(|attempts| (attempts < 4).then_some(SECOND * 60));
        assert_eq!(ending.to_string(), "1 min, 1 min, 1 min, parks after 4 attempts in about 3 min");
    }

    #[test]
    fn spans_are_told_in_the_unit_that_suits_them() {
        let told = |micros| Humane(Duration::from_micros(micros)).to_string();
        assert_eq!([1, 1_000, 1_500_000].map(told), ["1 µs", "1 ms", "1.5 s"]);
        let told = |seconds| Humane(Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [59, 60, 90, 120, 7_199, 7_200, 172_800, u64::MAX].map(told),
            ["59 s", "1 min", "90 s", "2 min", "120 min", "2 h", "2 d", "213503982334601 d"]
        );
    }
}
