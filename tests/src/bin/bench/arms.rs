//! Arms that alternate within one run, and what their rounds came to.

use serde_json::{Value, json};

/// The measurements of one arm, one for each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Combines two arms round by round: what ran at nearly the same time is compared with each other.
    pub(crate) fn paired(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, two)| combine(*one, *two)).collect())
    }

    /// The value below which this share of the samples lies, by linear interpolation.
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let mut rest = share * sorted.len().saturating_sub(1) as f64;
        let mut place = 0;
        while rest >= 1.0 {
            (rest, place) = (rest - 1.0, place + 1);
        }
        let low = sorted.get(place).copied().unwrap_or(f64::NAN);
        let high = sorted.get(place + 1).copied().unwrap_or(low);
        low + (high - low) * rest
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    pub(crate) fn range(&self) -> (f64, f64) {
        (self.quantile(0.0), self.quantile(1.0))
    }

    pub(crate) fn to_json(&self) -> Value {
        let ((low, high), (min, max)) = (self.quartiles(), self.range());
        json!({
            "rounds": self.0.len(), "median": self.median(),
            "quartiles": [low, high], "min": min, "max": max,
        })
    }
}

/// Runs every arm once in each round, each round beginning with another arm, after one round that is not counted.
pub(crate) fn alternate<const N: usize, T>(
    rounds: usize,
    mut arm: impl FnMut(usize, usize) -> anyhow::Result<T>,
    mut keep: impl FnMut(usize, T),
) -> anyhow::Result<()> {
    for round in 0..=rounds {
        for turn in 0..N {
            let place = (round + turn) % N;
            let measured = arm(place, round)?;
            if round > 0 {
                keep(place, measured);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_samples() {
        let mut samples = Samples::default();
        [4.0, 1.0, 3.0, 2.0, 10.0].into_iter().for_each(|value| samples.push(value));
        assert_eq!((samples.median(), samples.quartiles(), samples.range()), (3.0, (2.0, 4.0), (1.0, 10.0)));
    }

    #[test]
    fn every_arm_runs_in_every_round_and_the_first_round_is_not_counted() {
        let (mut ran, mut kept) = (Vec::new(), Vec::new());
        let arm = |place, round| {
            ran.push((round, place));
            Ok(place)
        };
        alternate::<2, _>(2, arm, |place, value| kept.push((place, value))).unwrap();
        assert_eq!(ran, [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)]);
        assert_eq!(kept, [(1, 1), (0, 0), (0, 0), (1, 1)]);
    }
}
