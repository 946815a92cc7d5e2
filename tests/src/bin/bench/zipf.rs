//! Keys drawn by a Zipf law: the key of rank r comes up in proportion to 1 / r^s.

/// The exact law over so many keys, as a table that is looked up; a few lines are less than a dependency.
pub(crate) struct Zipf {
    /// For each rank, the chance that a draw is of this rank or a lower one.
    cumulated: Vec<f64>,
    state: u64,
}

impl Zipf {
    /// Draws are the same for the same seed.
    pub(crate) fn new(keys: usize, s: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let mut cumulated: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += (rank as f64).powf(-s);
                sum
            })
            .collect();
        cumulated.iter_mut().for_each(|chance| *chance /= sum);
        Self { cumulated, state: seed }
    }

    /// The next key, from 0 (the hottest) on.
    pub(crate) fn draw(&mut self) -> usize {
        let chance = self.unit();
        let place = self.cumulated.partition_point(|below| *below <= chance);
        place.min(self.cumulated.len().saturating_sub(1))
    }

    /// SplitMix64, of which the upper 53 bits make a number from 0 to below 1.
    fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_law_and_repeat_with_their_seed() {
        for s in [0.5, 1.0] {
            let (keys, draws) = (100, 200_000);
            let mut zipf = Zipf::new(keys, s, 7);
            let mut counts = vec![0_u32; keys];
            let mut first = Vec::new();
            for place in 0..draws {
                let key = zipf.draw();
                counts[key] += 1;
                if place < 10 {
                    first.push(key);
                }
            }
            let sum: f64 = (1..=keys).map(|rank| (rank as f64).powf(-s)).sum();
            for rank in [1, 2, 10, 100] {
                let expected = f64::from(draws) * (rank as f64).powf(-s) / sum;
                let deviation = (f64::from(counts[rank - 1]) - expected).abs() / expected.sqrt();
                assert!(deviation < 4.0, "rank {rank} of s = {s} is {deviation} deviations off");
            }
            let mut again = Zipf::new(keys, s, 7);
            assert_eq!((0..10).map(|_| again.draw()).collect::<Vec<_>>(), first);
        }
    }
}
