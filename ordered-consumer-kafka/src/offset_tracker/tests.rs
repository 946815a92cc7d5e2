use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn runs(completed: &[(i64, i64)]) -> CompletedOffsets {
    let mut offsets = CompletedOffsets::default();
    completed.iter().for_each(|(start, end)| offsets.push(*start, *end));
    offsets
}

#[test]
fn what_is_committed_never_passes_an_event_that_is_not_done() {
    let mut tracker = OffsetTracker::new(10, &runs(&[]));
    for offset in 10..15 {
        assert_eq!(tracker.arrives(offset), Arrival::Deliver);
    }
    tracker.done(11);
    tracker.done(13);
    assert_eq!((tracker.to_commit(), tracker.completed()), (10, runs(&[(11, 12), (13, 14)])));
    tracker.done(10);
    assert_eq!((tracker.to_commit(), tracker.completed()), (12, runs(&[(13, 14)])));
    tracker.done(12);
    tracker.done(14);
    assert_eq!((tracker.to_commit(), tracker.completed()), (15, runs(&[])));
}

#[test]
fn a_restart_delivers_only_what_was_not_done() {
    let mut tracker = OffsetTracker::new(10, &runs(&[(11, 12), (13, 14)]));
    let delivered: Vec<_> = (10..16).filter(|offset| tracker.arrives(*offset) == Arrival::Deliver).collect();
    assert_eq!(delivered, [10, 12, 14, 15]);
    tracker.done(10);
    assert_eq!(tracker.to_commit(), 12, "what an earlier owner did counts");
}

#[test]
fn what_an_earlier_owner_did_is_committed_before_it_is_fetched_again() {
    let mut tracker = OffsetTracker::new(10, &runs(&[(11, 20), (22, 23)]));
    assert_eq!(tracker.arrives(10), Arrival::Deliver);
    tracker.done(10);
    assert_eq!((tracker.to_commit(), tracker.completed()), (20, runs(&[(22, 23)])));
}

#[test]
fn control_records_and_what_compaction_removed_hold_nothing_back() {
    let mut tracker = OffsetTracker::new(0, &runs(&[]));
    assert_eq!(tracker.arrives(3), Arrival::Deliver);
    assert_eq!(tracker.arrives(9), Arrival::Deliver);
    tracker.done(9);
    assert_eq!((tracker.to_commit(), tracker.completed()), (3, runs(&[(4, 10)])));
    tracker.done(3);
    assert_eq!(tracker.to_commit(), 10);
    assert_eq!(tracker.ends(12), PartitionEnd::Plausible);
    assert_eq!(tracker.to_commit(), 12, "the control record of a transaction is at the end");
}

#[test]
fn the_end_of_the_partition_commits_nothing_that_is_not_done() {
    let mut tracker = OffsetTracker::new(0, &runs(&[]));
    assert_eq!(tracker.arrives(0), Arrival::Deliver);
    tracker.ends(2);
    assert_eq!(tracker.to_commit(), 0);
    tracker.done(0);
    assert_eq!(tracker.to_commit(), 2);
}

#[test]
fn what_is_said_to_be_done_past_the_end_of_the_log_is_forgotten() {
    let mut tracker = OffsetTracker::new(5, &runs(&[(6, 7), (8, 12)]));
    assert_eq!(tracker.arrives(5), Arrival::Deliver);
    assert_eq!(tracker.ends(9), PartitionEnd::BeforeWhatIsDone);
    tracker.done(5);
    assert_eq!(tracker.to_commit(), 9);
    assert_eq!(tracker.arrives(9), Arrival::Deliver, "it was written after the log was cut");
    assert_eq!(tracker.ends(10), PartitionEnd::Plausible);
}

#[test]
fn a_record_that_comes_again_is_delivered_once() {
    let mut tracker = OffsetTracker::new(5, &runs(&[]));
    assert_eq!(tracker.arrives(4), Arrival::Skip, "below what is committed");
    assert_eq!(tracker.arrives(5), Arrival::Deliver);
    assert_eq!(tracker.arrives(5), Arrival::Skip);
}

#[test]
fn what_was_not_delivered_cannot_become_done() {
    let mut tracker = OffsetTracker::new(5, &runs(&[]));
    tracker.done(5);
    tracker.done(i64::MIN);
    tracker.done(i64::MAX);
    assert_eq!(tracker.arrives(5), Arrival::Deliver);
    assert_eq!((tracker.to_commit(), tracker.completed()), (5, runs(&[])));
}

#[test]
fn the_highest_offset_is_legal() {
    let mut tracker = OffsetTracker::new(i64::MAX - 1, &runs(&[]));
    assert_eq!(tracker.arrives(i64::MAX - 1), Arrival::Deliver);
    tracker.done(i64::MAX - 1);
    assert_eq!(tracker.to_commit(), i64::MAX);
    tracker.arrives(i64::MAX);
    assert_eq!(tracker.to_commit(), i64::MAX);
}

#[test]
fn the_revision_changes_with_what_is_to_be_committed() {
    let mut tracker = OffsetTracker::new(0, &runs(&[]));
    let mut seen = vec![tracker.revision()];
    let mut changed = |tracker: &OffsetTracker| {
        seen.push(tracker.revision());
        seen.iter().collect::<BTreeSet<_>>().len() == seen.len()
    };
    tracker.arrives(0);
    tracker.arrives(1);
    tracker.done(1);
    assert!(changed(&tracker));
    tracker.done(0);
    assert!(changed(&tracker));
    tracker.arrives(5);
    assert!(changed(&tracker), "there is nothing between 2 and 5");
    tracker.ends(9);
    assert!(changed(&tracker));
    tracker.done(1);
    tracker.arrives(9);
    tracker.ends(10);
    assert!(!changed(&tracker), "nothing more is done");
}

/// The same in sets, without a thought for speed.
#[derive(Default)]
struct Naive {
    next: i64,
    running: BTreeSet<i64>,
    known: BTreeSet<i64>,
}

impl Naive {
    fn is_done(&self, offset: i64) -> bool {
        (offset < self.next && !self.running.contains(&offset)) || self.known.contains(&offset)
    }

    fn to_commit(&self) -> i64 {
        (0..).find(|offset| !self.is_done(*offset)).unwrap()
    }

    fn completed(&self) -> BTreeSet<i64> {
        (self.to_commit()..100).filter(|offset| self.is_done(*offset)).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A record, after so many offsets that do not exist.
    Arrives(i64),
    Ends(i64),
    /// The n-th of what runs.
    Done(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![4 => Just(0_i64), 1 => 0..3_i64].prop_map(Step::Arrives),
        1 => (0..2_i64).prop_map(Step::Ends),
        5 => any::<usize>().prop_map(Step::Done),
        1 => Just(Step::Restart),
    ]
}

fn nth(running: &BTreeSet<i64>, n: usize) -> Option<i64> {
    running.iter().nth(n.checked_rem(running.len())?).copied()
}

proptest! {
    #[test]
    fn any_order_of_deliveries_ends_and_restarts_is_as_a_naive_model_says(steps in prop::collection::vec(step(), 0..60)) {
        let mut tracker = OffsetTracker::new(0, &CompletedOffsets::default());
        let mut naive = Naive::default();
        // What the partition has up to here; a restart goes back to what is committed.
        let mut exists = BTreeSet::new();
        for step in steps {
            let before = (tracker.revision(), tracker.to_commit(), tracker.completed());
            match step {
                Step::Arrives(gap) => {
                    let offset = exists.range(naive.next..).next().copied().unwrap_or_else(|| {
                        exists.last().map_or(0, |last: &i64| last + 1).max(naive.next) + gap
                    });
                    exists.insert(offset);
                    let skipped = naive.is_done(offset);
                    let expected = if skipped { Arrival::Skip } else { Arrival::Deliver };
                    prop_assert_eq!(tracker.arrives(offset), expected);
                    naive.next = offset + 1;
                    if !skipped {
                        naive.running.insert(offset);
                    }
                }
                Step::Ends(beyond) if exists.range(naive.next..).next().is_none() => {
                    let end = naive.next.max(naive.known.last().map_or(0, |last| last + 1)) + beyond;
                    prop_assert_eq!(tracker.ends(end), PartitionEnd::Plausible);
                    naive.next = end;
                }
                Step::Ends(_) => {}
                Step::Done(n) => if let Some(offset) = nth(&naive.running, n) {
                    tracker.done(offset);
                    naive.running.remove(&offset);
                },
                Step::Restart => {
                    let (committed, completed) = (tracker.to_commit(), tracker.completed());
                    naive = Naive { next: committed, known: naive.completed(), running: BTreeSet::new() };
                    tracker = OffsetTracker::new(committed, &completed);
                    continue;
                }
            }
            if tracker.revision() == before.0 {
                prop_assert_eq!((tracker.to_commit(), tracker.completed()), (before.1, before.2));
            }
            prop_assert_eq!(tracker.to_commit(), naive.to_commit());
            let completed: BTreeSet<i64> =
                tracker.completed().runs().iter().flat_map(|(start, end)| *start..*end).collect();
            prop_assert_eq!(completed, naive.completed());
        }
    }
}
