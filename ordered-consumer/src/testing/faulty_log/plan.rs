//! Which call goes wrong, and how.

use std::collections::VecDeque;

use super::LogFault;

/// Faults for the calls to come: a script first, then chance.
#[derive(Debug, Default)]
pub(super) struct Plan {
    script: VecDeque<Option<LogFault>>,
    ways: Vec<LogFault>,
    one_in: u64,
    seed: u64,
}

impl Plan {
    pub(super) fn script(&mut self, faults: impl IntoIterator<Item = Option<LogFault>>) {
        self.script.extend(faults);
    }

    pub(super) fn random(&mut self, seed: u64, one_in: u64, ways: &[LogFault]) {
        (self.seed, self.one_in, self.ways) = (seed, one_in, ways.to_vec());
    }

    /// What happens to this call.
    pub(super) fn next(&mut self) -> Option<LogFault> {
        if let Some(planned) = self.script.pop_front() {
            return planned;
        }
        let ways = u64::try_from(self.ways.len()).unwrap_or(u64::MAX);
        if ways == 0 || self.one_in == 0 || !self.draw().is_multiple_of(self.one_in) {
            return None;
        }
        let way = usize::try_from(self.draw() % ways).unwrap_or(0);
        self.ways.get(way).copied()
    }

    /// The next number of a sequence that the seed alone decides (SplitMix64).
    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
