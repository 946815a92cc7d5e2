//! A gate in a few words: what the audit keeps of it, before and after an action.

use serde::{Deserialize, Serialize};

use super::{Gate, ParkCause, State};
use crate::{Index, Timestamp};

/// What a gate was at one moment, in a few plain values: nothing of the user's is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GateSummary {
    /// Its state.
    pub state: State,
    /// Why it was parked, if it was.
    pub parked: Option<ParkCause>,
    /// The lowest unresolved event in the log, if there was one.
    pub head: Option<Index>,
    /// Attempts made on it.
    pub attempts: u32,
    /// Events in the log, the head among them.
    pub held_events: u64,
    /// Events kept beside the log because another one was logged at their index.
    pub conflicts: u32,
    /// The gate's version.
    pub version: u64,
}

impl Gate {
    /// The gate in a few words.
    #[must_use]
    pub fn summary(&self) -> GateSummary {
        GateSummary {
            state: self.state(),
            parked: self.parked,
            head: self.head,
            attempts: self.attempts,
            held_events: self.held_events,
            conflicts: self.conflicts,
            version: self.version,
        }
    }

    /// Since when its entity has been kept waiting: since the head's first failure or, while it has none, since the
    /// gate was made or last cleared.
    #[must_use]
    pub fn gated_since(&self) -> Timestamp {
        self.first_failure.as_ref().map_or(self.since, |failure| failure.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Failure;

    #[test]
    fn a_summary_comes_back_as_it_was_whatever_the_index() {
        for head in [None, Some(Index::MIN), Some(Index::new(1 << 64)), Some(Index::MAX)] {
            let gate = Gate {
                head,
                parked: Some(ParkCause::LostRun),
                attempts: 7,
                held_events: u64::MAX,
                version: u64::MAX,
                ..Gate::default()
            };
            let kept = serde_json::to_string(&gate.summary()).unwrap();
            assert_eq!(serde_json::from_str::<GateSummary>(&kept).unwrap(), gate.summary());
            assert!(kept.contains("lost_run"), "in the words that people read: {kept}");
        }
    }

    #[test]
    fn an_entity_waits_since_its_heads_first_failure() {
        let (made, failed) = (Timestamp::from_micros(5), Timestamp::from_micros(9));
        let mut gate = Gate { since: made, ..Gate::default() };
        assert_eq!(gate.gated_since(), made);
        gate.first_failure = Some(Failure { at: failed, ..Failure::new("E", "no") });
        assert_eq!(gate.gated_since(), failed);
    }
}
