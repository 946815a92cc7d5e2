//! A set of offsets, as the runs that it is made of.

/// Offsets of one partition that are done, as ascending, separate, non-empty runs. A gap between two runs is at least one
/// offset wide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompletedOffsets {
    /// First offset, and the one after the last.
    runs: Vec<(i64, i64)>,
}

impl CompletedOffsets {
    /// Adds a run behind all others, exclusive of `end`. What lies before the end of the last run is left out.
    pub(crate) fn push(&mut self, start: i64, end: i64) {
        let start = start.max(self.end().unwrap_or(i64::MIN));
        if start >= end {
            return;
        }
        match self.runs.last_mut() {
            Some((_, last_end)) if *last_end == start => *last_end = end,
            Some(_) | None => self.runs.push((start, end)),
        }
    }

    /// The runs, ascending: first offset, and the one after the last.
    pub(crate) fn runs(&self) -> &[(i64, i64)] {
        &self.runs
    }

    /// The offset after the last one.
    pub(crate) fn end(&self) -> Option<i64> {
        self.runs.last().map(|(_, end)| *end)
    }

    /// Where the run that contains this offset ends, exclusively.
    pub(crate) fn run_end(&self, offset: i64) -> Option<i64> {
        let after = self.runs.partition_point(|(start, _)| *start <= offset);
        let (_, end) = self.runs.get(after.checked_sub(1)?)?;
        (offset < *end).then_some(*end)
    }

    /// Only the offsets from here on.
    pub(crate) fn starting_at(&self, offset: i64) -> Self {
        let mut kept = Self::default();
        for (start, end) in &self.runs {
            kept.push(offset.max(*start), *end);
        }
        kept
    }

    /// Only the offsets before this one.
    pub(crate) fn ending_at(&self, offset: i64) -> Self {
        let mut kept = Self::default();
        for (start, end) in &self.runs {
            kept.push(*start, offset.min(*end));
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_touch_become_one_and_what_is_known_is_not_added_twice() {
        let mut offsets = CompletedOffsets::default();
        offsets.push(3, 5);
        offsets.push(5, 7);
        offsets.push(6, 9);
        offsets.push(9, 9);
        offsets.push(11, 12);
        assert_eq!(offsets.runs(), [(3, 9), (11, 12)]);
        assert_eq!(
            [2, 3, 8, 9, 10, 11, 12].map(|offset| offsets.run_end(offset)),
            [None, Some(9), Some(9), None, None, Some(12), None]
        );
        assert_eq!(offsets.starting_at(8).runs(), [(8, 9), (11, 12)]);
        assert_eq!(offsets.ending_at(4).runs(), [(3, 4)]);
        assert_eq!((offsets.end(), CompletedOffsets::default().end()), (Some(12), None));
    }
}
