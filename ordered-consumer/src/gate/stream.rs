//! A stream's own record: who may write for it, and how far it is settled.

use bytes::Bytes;

use super::{FenceRefusal, Gate, Guard};
use crate::{Index, Timestamp};

/// The failure log's one row for a stream of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamRecord {
    /// What tells the stream from another of the same name, such as a topic's id; none where the broker has none.
    pub identity: Option<Bytes>,
    /// Raised by every takeover; zero before the first.
    pub generation: u64,
    /// The broker has been told that everything up to and including this index is done.
    pub settled: Option<Index>,
    /// Whether the last owner let go of the stream with nothing running.
    pub clean: bool,
    /// How many events the last owner, or one before it that did not let go, may have had running or waiting past the
    /// settled one.
    pub uncommitted_max: u64,
}

/// A takeover: the broker has confirmed the assignment after `seen_generation` was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeOver {
    /// The generation that was read before the broker confirmed; zero where there was no record.
    pub seen_generation: u64,
    /// The stream's identity, where the broker tells.
    pub identity: Option<Bytes>,
    /// The index of the next event that the broker will deliver, where it tells.
    pub position: Option<Index>,
    /// How many events the new owner may have running or waiting past the settled one.
    pub uncommitted_max: u64,
}

/// Why a stream was not taken over, or its owner's report was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamRefusal {
    /// Somebody raised the generation meanwhile: read it again, have the assignment confirmed again, try again.
    #[error("the stream has been taken over by somebody else meanwhile (its generation is {current})")]
    Raised {
        /// The generation now.
        current: u64,
    },
    /// The broker has another stream under this name now.
    #[error(
        "the stream is not the one that was consumed before (it was deleted and created again?), so its indexes mean \
         other events; an operator must say `new stream`, which sets the old one's held events apart, or `replay`"
    )]
    IdentityChanged,
    /// The broker's position lies before what was settled.
    #[error(
        "the broker would deliver from index {position}, but everything up to {settled} was settled; an operator must \
         say `replay`, which handles these events again, or `new stream`, if the indexes mean other events now"
    )]
    WentBack {
        /// The next index that the broker would deliver.
        position: Index,
        /// The last index that was settled.
        settled: Index,
    },
}

/// An owner's report about its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The generation that the owner raised.
    pub generation: u64,
    /// The broker has been told that everything up to and including this index is done; none leaves it as it was.
    pub settled: Option<Index>,
    /// Whether the owner lets go now, with nothing running and everything that it started durable.
    pub let_go: bool,
}

/// Whether the guard's holder may still write.
pub(super) fn admit(
    guard: &Guard,
    stream: Option<&StreamRecord>,
    now: Timestamp,
) -> Result<(), FenceRefusal> {
    match guard {
        Guard::Unguarded => Ok(()),
        Guard::Owned { generation } => match stream.map(|stream| stream.generation) {
            Some(current) if current == *generation => Ok(()),
            current => Err(FenceRefusal::StaleGeneration { current }),
        },
        Guard::Shared { deadline } => match deadline {
            Some(deadline) if now >= *deadline => Err(FenceRefusal::DeadlinePassed),
            _ => Ok(()),
        },
    }
}

/// Raises the generation from what was read, by compare-and-set, and says what the last owner left.
///
/// # Errors
/// [`StreamRefusal`]: nothing is written then.
pub fn take_over(record: Option<&StreamRecord>, asked: &TakeOver) -> Result<StreamRecord, StreamRefusal> {
    let fresh = StreamRecord { clean: true, ..StreamRecord::default() };
    let old = record.unwrap_or(&fresh);
    if old.generation != asked.seen_generation {
        return Err(StreamRefusal::Raised { current: old.generation });
    }
    if let (Some(was), Some(is)) = (&old.identity, &asked.identity)
        && was != is
    {
        return Err(StreamRefusal::IdentityChanged);
    }
    if let (Some(settled), Some(position)) = (old.settled, asked.position)
        && position <= settled
    {
        return Err(StreamRefusal::WentBack { position, settled });
    }
    Ok(StreamRecord {
        identity: asked.identity.clone().or_else(|| old.identity.clone()),
        generation: old.generation.saturating_add(1),
        settled: old.settled,
        clean: false,
        uncommitted_max: if old.clean {
            asked.uncommitted_max
        } else {
            old.uncommitted_max.max(asked.uncommitted_max)
        },
    })
}

/// Whether nothing is to be written down before a shared stream is consumed: it is the one that was consumed before, or its
/// broker does not tell which one it is. Else a [`take_over`] takes note of it, or refuses.
#[must_use]
pub fn is_known(record: Option<&StreamRecord>, identity: Option<&Bytes>) -> bool {
    let known = record.and_then(|record| record.identity.as_ref());
    identity.is_none() || known == identity
}

/// Applies an owner's report. What is settled never goes back.
///
/// # Errors
/// [`StreamRefusal::Raised`] when the reporter is not the owner any more: nothing is written then.
pub fn settle(record: Option<&StreamRecord>, report: &Settle) -> Result<StreamRecord, StreamRefusal> {
    match record {
        Some(record) if record.generation == report.generation => Ok(StreamRecord {
            settled: record.settled.max(report.settled),
            clean: record.clean || report.let_go,
            ..record.clone()
        }),
        other => Err(StreamRefusal::Raised { current: other.map_or(0, |record| record.generation) }),
    }
}

/// Whether a tombstone has done its duty. On an owned stream: the settled index has passed it. On a shared one: it is
/// older than the queue keeps messages, which `settled: None` with `kept_since` tells.
#[must_use]
pub fn may_drop_tombstone(gate: &Gate, settled: Option<Index>, kept_since: Option<Timestamp>) -> bool {
    if !gate.is_cleared() || gate.conflicts > 0 {
        return false;
    }
    let passed = match (gate.resolved, settled) {
        (None, _) => true,
        (Some(resolved), Some(settled)) => resolved <= settled,
        (Some(_), None) => false,
    };
    passed || kept_since.is_some_and(|since| gate.since < since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(seen_generation: u64) -> TakeOver {
        TakeOver { seen_generation, identity: None, position: None, uncommitted_max: 10 }
    }

    #[test]
    fn a_takeover_raises_only_from_what_was_read() {
        let first = take_over(None, &asked(0)).unwrap();
        assert_eq!(first.generation, 1);
        assert!(!first.clean, "whoever takes over is unclean until it lets go");
        assert_eq!(take_over(Some(&first), &asked(0)), Err(StreamRefusal::Raised { current: 1 }));
    }

    #[test]
    fn suspicion_covers_every_owner_that_has_not_let_go() {
        let first = take_over(None, &TakeOver { uncommitted_max: 100, ..asked(0) }).unwrap();
        let second = take_over(Some(&first), &asked(1)).unwrap();
        assert_eq!(second.uncommitted_max, 100, "the first owner's events may still come again");
        let report = Settle { generation: 2, settled: None, let_go: true };
        let let_go = settle(Some(&second), &report).unwrap();
        assert_eq!(take_over(Some(&let_go), &asked(2)).unwrap().uncommitted_max, 10);
    }

    #[test]
    fn another_identity_and_an_earlier_position_stop_the_takeover() {
        let record = StreamRecord {
            identity: Some(Bytes::from_static(b"a")),
            settled: Some(Index::new(9)),
            ..StreamRecord::default()
        };
        let other = TakeOver { identity: Some(Bytes::from_static(b"b")), ..asked(0) };
        assert_eq!(take_over(Some(&record), &other), Err(StreamRefusal::IdentityChanged));
        let back = TakeOver { position: Some(Index::new(9)), ..asked(0) };
        let went_back = StreamRefusal::WentBack { position: Index::new(9), settled: Index::new(9) };
        assert_eq!(take_over(Some(&record), &back), Err(went_back));
        let on = TakeOver { position: Some(Index::new(10)), ..asked(0) };
        assert!(take_over(Some(&record), &on).is_ok());
    }

    #[test]
    fn a_shared_stream_is_known_once_its_identity_is_written_down_or_when_it_has_none() {
        let (one, other) = (Bytes::from_static(b"a"), Bytes::from_static(b"b"));
        assert!(is_known(None, None));
        assert!(!is_known(None, Some(&one)));
        let before = StreamRecord { generation: 3, ..StreamRecord::default() };
        assert!(!is_known(Some(&before), Some(&one)), "as after a replay, or in a log of an earlier version");
        let note = TakeOver { identity: Some(one.clone()), uncommitted_max: 0, ..asked(3) };
        let noted = take_over(Some(&before), &note).unwrap();
        assert!(is_known(Some(&noted), Some(&one)));
        assert!(is_known(Some(&noted), None));
        assert!(!is_known(Some(&noted), Some(&other)));
        assert_eq!((noted.settled, noted.uncommitted_max), (None, 0), "nothing else is said of it");
    }

    #[test]
    fn what_is_settled_never_goes_back_and_a_stale_owner_settles_nothing() {
        let record = StreamRecord { generation: 2, settled: Some(Index::new(9)), ..StreamRecord::default() };
        let report = |generation, settled| Settle { generation, settled, let_go: false };
        assert_eq!(settle(Some(&record), &report(2, Some(Index::new(4)))).unwrap().settled, record.settled);
        assert_eq!(
            settle(Some(&record), &report(1, Some(Index::new(99)))),
            Err(StreamRefusal::Raised { current: 2 })
        );
    }
}
