//! What an operator's decision about a whole stream does to its record and gates.

use super::{Audit, Gate, StreamRecord};
use crate::{FailureLogError, StreamDecision, StreamName};

/// What a store says when [`SetApart::name`] has a record or gates already.
pub const APART_TAKEN: &str = "the name under which to set the stream apart is taken";

/// The record of a stream whose events are to be handled again: what was settled is forgotten, and a later identity is
/// taken as it comes. The generation is raised, so that an owner from before, whose cache has the tombstones still, is
/// refused and takes over anew.
///
/// Every gate of the stream becomes what [`forget_resolved`] makes of it.
#[must_use]
pub fn replay(record: StreamRecord) -> StreamRecord {
    let generation = record.generation.saturating_add(1);
    StreamRecord { identity: None, settled: None, generation, ..record }
}

/// A gate after a [`replay`]; none: it says nothing any more. What holds events stays as it is, a pause goes on, and
/// conflicts are kept.
#[must_use]
pub fn forget_resolved(gate: Gate) -> Option<Gate> {
    match gate.head {
        Some(_) => Some(gate),
        None if gate.parked.is_some() || gate.conflicts > 0 => Some(Gate { resolved: None, ..gate }),
        None => None,
    }
}

/// How a stream makes room for another one of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetApart {
    /// Everything that is there goes on under this name, its record too.
    pub name: StreamName,
    /// The new stream's record.
    pub fresh: StreamRecord,
}

/// Sets a stream apart; none where there is nothing to set apart, as when the same decision is made again because its
/// first answer was lost. The name's own generation goes on, because an owner from before may still be there, and must
/// never be taken for an owner of the new stream.
///
/// # Errors
/// [`FailureLogError::Misused`] when the name has no room for the generation.
pub fn set_apart(
    stream: &StreamName,
    record: Option<&StreamRecord>,
    has_gates: bool,
) -> Result<Option<SetApart>, FailureLogError> {
    let generation = record.map_or(0, |record| record.generation);
    let fresh = StreamRecord { clean: true, generation, ..StreamRecord::default() };
    if !has_gates && record.is_none_or(|record| *record == fresh) {
        return Ok(None);
    }
    let name = StreamName::new(format!("{stream}~{generation}"))
        .map_err(|_| FailureLogError::Misused { what: "the stream's name is too long to set it apart" })?;
    let fresh = StreamRecord { generation: generation.saturating_add(1), ..fresh };
    Ok(Some(SetApart { name, fresh }))
}

impl Audit {
    /// The line for a decision about a stream, which now has this generation. It is about no one entity of it.
    #[must_use]
    pub fn of_stream(decision: StreamDecision, (by, why): (&str, &str), generation: u64) -> Self {
        Self {
            action: match decision {
                StreamDecision::Replay => "replay",
                StreamDecision::NewStream => "new stream",
            },
            index: None,
            by: by.into(),
            why: why.into(),
            request_id: None,
            outcome: Ok(generation),
            before: None,
            after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Index, gate::ParkCause};

    fn record(generation: u64) -> StreamRecord {
        let settled = Some(Index::new(9));
        StreamRecord { generation, settled, uncommitted_max: 7, ..StreamRecord::default() }
    }

    #[test]
    fn a_replay_shuts_out_the_owner_from_before_and_keeps_what_it_may_have_had_under_way() {
        let replayed = replay(record(4));
        assert_eq!((replayed.generation, replayed.settled), (5, None));
        assert_eq!((replayed.clean, replayed.uncommitted_max), (false, 7));
    }

    #[test]
    fn a_replay_forgets_tombstones_and_neither_held_events_nor_pauses_nor_conflicts() {
        let tombstone = Gate { resolved: Some(Index::new(3)), ..Gate::default() };
        assert_eq!(forget_resolved(tombstone.clone()), None);
        let held = Gate { head: Some(Index::new(4)), ..tombstone.clone() };
        assert_eq!(forget_resolved(held.clone()), Some(held));
        for kept in [
            Gate { parked: Some(ParkCause::Operator), ..tombstone.clone() },
            Gate { conflicts: 1, ..tombstone },
        ] {
            assert_eq!(forget_resolved(kept.clone()), Some(Gate { resolved: None, ..kept }));
        }
    }

    #[test]
    fn a_new_stream_never_has_a_generation_that_the_old_one_had_and_is_made_once() {
        let name = StreamName::new("orders/0").unwrap();
        let apart = set_apart(&name, Some(&record(4)), false).unwrap().unwrap();
        assert_eq!((apart.name.as_str(), apart.fresh.generation, apart.fresh.clean), ("orders/0~4", 5, true));
        assert_eq!(set_apart(&name, Some(&apart.fresh), false).unwrap(), None, "the same decision again");
        assert!(set_apart(&name, Some(&apart.fresh), true).unwrap().is_some(), "gates of its own since");
        assert_eq!(set_apart(&name, None, false).unwrap(), None);
        assert_eq!(set_apart(&name, None, true).unwrap().unwrap().fresh.generation, 1);
        let long = StreamName::new("x".repeat(255)).unwrap();
        assert!(set_apart(&long, Some(&record(4)), false).is_err());
    }
}
