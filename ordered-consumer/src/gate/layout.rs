//! Layouts: among how many streams a broker spreads a topic's entities, and which of these may be consumed.
//!
//! When streams are added, an entity's next events may go to another stream than its earlier ones, and nothing orders
//! streams among each other. So the new streams wait until the old ones have [passed](has_passed) what they held then.

use bytes::Bytes;

use super::StreamRecord;
use crate::Index;

/// How many changes that wait for each other are told apart; what comes on top counts as one with the last.
pub const LAYOUT_CHANGES_MAX: usize = 64;

/// The failure log's one row for a layout of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LayoutRecord {
    /// What tells the layout from another of the same name, such as a topic's id; none where the broker has none.
    pub identity: Option<Bytes>,
    /// Raised whenever the layout begins anew, so that what was found out about it before does not count any more.
    pub generation: u64,
    /// Streams numbered below this may be consumed. Zero: nobody has seen the layout yet.
    pub admitted: u32,
    /// How many streams there were after each change whose streams still wait, ascending, each more than `admitted`.
    pub waiting: Vec<u32>,
}

/// What is asked of a layout's row. Each may be asked again, and then changes nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutStep {
    /// Only to see it.
    Look,
    /// The broker says that there are so many streams. Whoever sees a layout first admits all of them; more of them
    /// than were seen before wait; with another identity, the layout begins anew.
    See {
        /// The layout's identity, where the broker tells.
        identity: Option<Bytes>,
        /// How many streams there are.
        streams: u32,
    },
    /// As [`See`](Self::See), and whatever waits is admitted.
    AdmitAll {
        /// The layout's identity, where the broker tells.
        identity: Option<Bytes>,
        /// How many streams there are.
        streams: u32,
    },
    /// The old streams of this change have passed what they held: its streams are admitted, if the layout still is as it
    /// was when that was found out.
    Admit {
        /// The layout's generation then.
        generation: u64,
        /// The change.
        change: LayoutChange,
    },
    /// An operator has said that one of its streams is another one now: the layout begins anew, with whatever streams
    /// are seen next.
    Forget,
}

/// One change of a layout: streams were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayoutChange {
    /// How many streams there were before: these must pass what they held.
    pub old: u32,
    /// How many there were afterwards: the numbers from `old` up to this one wait.
    pub now: u32,
}

/// Whether a stream of a layout may be consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It may.
    Admitted,
    /// It waits for the old streams of the change with which it came.
    Waits(LayoutChange),
    /// It waits, and the streams of this earlier change have not even been admitted.
    WaitsBehind(LayoutChange),
}

impl LayoutRecord {
    /// Whether the stream of this number may be consumed; one that is not seen yet waits behind what is.
    #[must_use]
    pub fn standing(&self, number: u32) -> Standing {
        if number < self.admitted {
            return Standing::Admitted;
        }
        match self.waiting.first() {
            Some(now) if number < *now => Standing::Waits(LayoutChange { old: self.admitted, now: *now }),
            Some(now) => Standing::WaitsBehind(LayoutChange { old: self.admitted, now: *now }),
            None => Standing::WaitsBehind(LayoutChange { old: self.admitted, now: self.admitted }),
        }
    }

    fn see(&mut self, identity: Option<&Bytes>, streams: u32) {
        let another = self.identity.as_ref().zip(identity).is_some_and(|(was, is)| was != is);
        if another {
            self.forget();
        }
        if let Some(identity) = identity {
            self.identity = Some(identity.clone());
        }
        if self.admitted == 0 {
            self.admitted = streams;
        }
        if streams <= self.admitted {
            // Fewer than before: somebody's view is old, or the topic was made anew, which its streams will say.
            return;
        }
        if let Err(place) = self.waiting.binary_search(&streams) {
            if self.waiting.len() < LAYOUT_CHANGES_MAX {
                self.waiting.insert(place, streams);
            } else if let Some(last) = self.waiting.last_mut() {
                *last = streams.max(*last);
            }
        }
    }

    fn forget(&mut self) {
        let generation = self.generation.saturating_add(1);
        *self = Self { generation, ..Self::default() };
    }
}

/// What becomes of a layout's row by this step; the row itself, when nothing does.
#[must_use]
pub fn step_layout(record: Option<&LayoutRecord>, step: &LayoutStep) -> LayoutRecord {
    let mut record = record.cloned().unwrap_or_default();
    match step {
        LayoutStep::Look => {}
        LayoutStep::See { identity, streams } => record.see(identity.as_ref(), *streams),
        LayoutStep::AdmitAll { identity, streams } => {
            record.see(identity.as_ref(), *streams);
            let waiting = record.waiting.drain(..).max().unwrap_or(0);
            record.admitted = record.admitted.max(*streams).max(waiting);
        }
        LayoutStep::Admit { generation, change } => {
            let as_it_was = record.generation == *generation
                && record.admitted == change.old
                && record.waiting.first() == Some(&change.now);
            if as_it_was {
                record.admitted = change.now;
                record.waiting.remove(0);
            }
        }
        LayoutStep::Forget if record.admitted > 0 => record.forget(),
        LayoutStep::Forget => {}
    }
    record
}

/// Whether an old stream has passed the last index that it held when it was asked about, which was after the change:
/// everything up to and including it is settled and resolved.
///
/// `unresolved` says whether a gate of the stream has its head at or below that index, and must be read **after** the
/// record: what is settled is either handled or in the log by then. Gates with a later head do not count, lest a
/// trickle of failures keep new streams waiting for ever; nor do tombstones.
#[must_use]
pub fn has_passed(
    record: Option<&StreamRecord>,
    identity: Option<&Bytes>,
    last: Option<Index>,
    unresolved: bool,
) -> bool {
    let Some(last) = last else { return true };
    let Some(record) = record else { return false };
    // The record of a topic that was deleted says nothing about one that has its name now.
    let another = record.identity.as_ref().zip(identity).is_some_and(|(was, is)| was != is);
    !another && record.settled.is_some_and(|settled| settled >= last) && !unresolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(streams: u32) -> LayoutStep {
        LayoutStep::See { identity: None, streams }
    }

    fn after(steps: &[LayoutStep]) -> LayoutRecord {
        steps.iter().fold(LayoutRecord::default(), |record, step| step_layout(Some(&record), step))
    }

    #[test]
    fn first_sight_admits_all_there_are_and_later_ones_wait_for_those() {
        let record = after(&[see(2), see(3)]);
        assert_eq!((record.admitted, &record.waiting[..]), (2, &[3][..]));
        assert_eq!(record.standing(1), Standing::Admitted);
        let change = LayoutChange { old: 2, now: 3 };
        assert_eq!(record.standing(2), Standing::Waits(change));
        assert_eq!(record.standing(3), Standing::WaitsBehind(change), "nobody has seen it yet");
        let admit = LayoutStep::Admit { generation: 0, change };
        let admitted = step_layout(Some(&record), &admit);
        assert_eq!((admitted.admitted, admitted.waiting.is_empty()), (3, true));
        assert_eq!(step_layout(Some(&admitted), &admit), admitted, "the same again");
    }

    #[test]
    fn changes_are_admitted_one_after_the_other_in_whatever_order_they_are_seen() {
        let record = after(&[see(2), see(6), see(4)]);
        assert_eq!(record.waiting, [4, 6]);
        assert_eq!(record.standing(5), Standing::WaitsBehind(LayoutChange { old: 2, now: 4 }));
        let late = LayoutStep::Admit { generation: 0, change: LayoutChange { old: 2, now: 6 } };
        assert_eq!(step_layout(Some(&record), &late), record, "found out before the other change was seen");
        let admit = LayoutStep::Admit { generation: 0, change: LayoutChange { old: 2, now: 4 } };
        let record = step_layout(Some(&record), &admit);
        assert_eq!(record.standing(5), Standing::Waits(LayoutChange { old: 4, now: 6 }));
    }

    #[test]
    fn an_old_view_with_fewer_streams_changes_nothing() {
        let record = after(&[see(3)]);
        assert_eq!(step_layout(Some(&record), &see(2)), record);
    }

    #[test]
    fn a_layout_that_begins_anew_admits_what_is_seen_and_nothing_that_was_found_out_before() {
        let id = |id: &'static [u8]| Some(Bytes::from_static(id));
        let one = |streams| LayoutStep::See { identity: id(b"one"), streams };
        let waiting = after(&[one(2), one(3)]);
        let anew = step_layout(Some(&waiting), &LayoutStep::See { identity: id(b"two"), streams: 2 });
        assert_eq!((anew.generation, anew.admitted, anew.waiting.len()), (1, 2, 0));
        let anew = step_layout(Some(&anew), &LayoutStep::See { identity: None, streams: 3 });
        let late = LayoutStep::Admit { generation: 0, change: LayoutChange { old: 2, now: 3 } };
        assert_eq!(step_layout(Some(&anew), &late), anew);
        let forgotten = step_layout(Some(&waiting), &LayoutStep::Forget);
        assert_eq!((forgotten.generation, forgotten.admitted), (1, 0));
        assert_eq!(step_layout(Some(&forgotten), &LayoutStep::Forget), forgotten);
        assert_eq!(step_layout(Some(&forgotten), &see(5)).standing(4), Standing::Admitted);
    }

    #[test]
    fn whatever_waits_is_admitted_when_nobody_wants_to_wait() {
        let all = LayoutStep::AdmitAll { identity: None, streams: 5 };
        let record = step_layout(Some(&after(&[see(2), see(3)])), &all);
        assert_eq!((record.admitted, record.waiting.is_empty()), (5, true));
    }

    #[test]
    fn the_changes_kept_are_bounded_and_none_is_admitted_early() {
        let steps: Vec<LayoutStep> = (1..200).map(see).collect();
        let record = after(&steps);
        assert_eq!((record.admitted, record.waiting.len()), (1, LAYOUT_CHANGES_MAX));
        assert_eq!(record.waiting.last(), Some(&199));
        assert!(record.waiting.is_sorted());
    }

    #[test]
    fn a_stream_has_passed_once_it_is_settled_and_nothing_below_is_unresolved() {
        let record = |settled| StreamRecord { settled: Some(Index::new(settled)), ..StreamRecord::default() };
        let last = Some(Index::new(5));
        assert!(has_passed(None, None, None, false), "it never had anything");
        assert!(!has_passed(None, None, last, false), "nobody has consumed it");
        assert!(!has_passed(Some(&StreamRecord::default()), None, last, false));
        assert!(!has_passed(Some(&record(4)), None, last, false));
        assert!(has_passed(Some(&record(5)), None, last, false));
        assert!(!has_passed(Some(&record(5)), None, last, true));
        let deleted = StreamRecord { identity: Some(Bytes::from_static(b"one")), ..record(9) };
        assert!(!has_passed(Some(&deleted), Some(&Bytes::from_static(b"two")), last, false));
    }
}
