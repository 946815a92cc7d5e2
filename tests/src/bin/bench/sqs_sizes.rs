//! How much each benchmark with SQS does.

/// Counts of messages and groups.
#[derive(Clone)]
pub(crate) struct SqsSizes {
    pub(crate) groups: usize,
    /// Messages of these groups, in turn, that each arm deletes in a round.
    pub(crate) messages: usize,
    /// Messages behind the one that fails for good.
    pub(crate) behind: usize,
    /// Messages of the other groups that are deleted beside it in a round of ours: enough for a turn of that group while the
    /// clock runs.
    pub(crate) others: usize,
    /// Messages of the bare loop's failing group that are handled before a round of it ends.
    pub(crate) overtaking: usize,
    /// The bare loop's queue gives a message out again after so many seconds: few, so that it gives it up within a round.
    pub(crate) visibility_seconds: u32,
}

impl SqsSizes {
    pub(crate) fn new(quick: bool) -> Self {
        if quick {
            return Self {
                groups: 100,
                messages: 1_000,
                behind: 500,
                others: 1_000,
                overtaking: 20,
                visibility_seconds: 1,
            };
        }
        Self {
            groups: 1_000,
            messages: 30_000,
            behind: 50_000,
            others: 80_000,
            overtaking: 100,
            visibility_seconds: 2,
        }
    }
}
