use super::*;
use crate::giving_way::{LONGEST, LOOK, REST};

const VISIBILITY: Duration = Duration::from_secs(30);

fn lease() -> (Lease, Instant) {
    (Lease::new(VISIBILITY), Instant::now())
}

fn add(flights: &mut Flights, lease: (Lease, Instant), messages: Vec<(String, State)>) -> (u64, Vec<u64>) {
    let message = |(handle, state)| Message { handle, index: None, state };
    flights.add((0, true), lease, messages.into_iter().map(message).collect())
}

/// A flight of so many messages of queue 0 that the engine has.
fn fly(flights: &mut Flights, name: &str, count: usize) -> (u64, Vec<u64>) {
    let messages = (0..count).map(|n| (format!("{name}{n}"), State::Pending)).collect();
    let (id, receipts) = add(flights, lease(), messages);
    flights.handed_over(receipts[0]);
    (id, receipts)
}

fn handles(deletes: &[Delete]) -> Vec<&str> {
    deletes.iter().map(|delete| delete.handle.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_group_are_deleted_one_after_another() {
    let mut flights = Flights::new(LONGEST);
    let (id, receipts) = fly(&mut flights, "a", 3);
    for receipt in receipts.iter().rev() {
        assert!(flights.take_deletes(0, 10).is_empty(), "not before the first is done");
        flights.mark(*receipt, State::Done);
    }
    for expected in ["a0", "a1", "a2"] {
        assert_eq!(handles(&flights.take_deletes(0, 10)), [expected]);
        assert!(flights.take_deletes(0, 10).is_empty(), "not before the last was acknowledged");
        flights.deleted(id);
    }
    assert!(flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_request_deletes_one_message_each_of_several_groups() {
    let mut flights = Flights::new(LONGEST);
    for name in ["a", "b", "c"] {
        for receipt in fly(&mut flights, name, 2).1 {
            flights.mark(receipt, State::Done);
        }
    }
    assert_eq!(flights.ready(0).0, 3);
    assert_eq!(handles(&flights.take_deletes(0, 2)), ["a0", "b0"]);
    assert_eq!(handles(&flights.take_deletes(0, 2)), ["c0"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_delete_abandons_the_rest_of_the_groups_receive_in_order() {
    let mut flights = Flights::new(LONGEST);
    let (id, receipts) = fly(&mut flights, "a", 4);
    flights.mark(receipts[0], State::Done);
    flights.take_deletes(0, 10);
    flights.deleted(id);
    for receipt in &receipts[1..3] {
        flights.mark(*receipt, State::Done);
    }
    assert_eq!(handles(&flights.take_deletes(0, 10)), ["a1"]);
    flights.refused(id, false);
    assert_eq!(flights.take_release(), None, "a3 may be running");
    flights.mark(receipts[3], State::Done);
    assert!(flights.take_deletes(0, 10).is_empty(), "nothing is deleted behind a refused one");
    let handles = ["a1", "a2", "a3"].map(str::to_owned).to_vec();
    assert_eq!(flights.take_release(), Some(Release { queue: 0, handles }));
    assert!(!flights.is_empty(), "it is not told yet");
    flights.released();
    assert!(flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_delete_ends_the_lease() {
    let mut flights = Flights::new(LONGEST);
    let lease = Lease::new(VISIBILITY);
    let messages = vec![("a0".to_owned(), State::Pending), ("a1".to_owned(), State::Pending)];
    let (id, receipts) = add(&mut flights, (lease.clone(), Instant::now()), messages);
    flights.mark(receipts[0], State::Done);
    flights.take_deletes(0, 10);
    flights.refused(id, false);
    assert!(lease.remaining().is_zero());
    flights.extended(id, Instant::now(), VISIBILITY);
    assert!(lease.remaining().is_zero(), "an answer that was under way does not begin it again");
}

#[tokio::test(start_paused = true)]
async fn what_is_abandoned_is_given_back_once_nothing_of_it_runs_behind_what_is_deleted() {
    let mut flights = Flights::new(LONGEST);
    let (id, receipts) = fly(&mut flights, "a", 3);
    flights.mark(receipts[1], State::Abandoned);
    flights.mark(receipts[2], State::Done);
    assert_eq!(flights.take_release(), None);
    flights.mark(receipts[0], State::Done);
    assert_eq!(handles(&flights.take_deletes(0, 10)), ["a0"]);
    assert_eq!(flights.take_release(), None);
    flights.deleted(id);
    let handles = ["a1", "a2"].map(str::to_owned).to_vec();
    assert_eq!(flights.take_release(), Some(Release { queue: 0, handles }));
}

#[tokio::test(start_paused = true)]
async fn lost_receipts_are_given_back_to_nobody() {
    let mut flights = Flights::new(LONGEST);
    let (id, receipts) = fly(&mut flights, "a", 2);
    flights.mark(receipts[0], State::Done);
    flights.take_deletes(0, 10);
    flights.refused(id, true);
    flights.mark(receipts[1], State::Abandoned);
    assert_eq!(flights.take_release(), None);
    assert!(flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_deleted_while_it_is_extended_is_not_lost() {
    let mut flights = Flights::new(LONGEST);
    let (id, receipts) = fly(&mut flights, "a", 3);
    flights.mark(receipts[0], State::Done);
    flights.mark(receipts[1], State::Done);
    flights.take_deletes(0, 10);
    flights.deleted(id);
    assert!(!flights.receipt_lost(id, receipts[0]), "it is deleted");
    assert!(!flights.receipt_lost(id, receipts[1]), "it is being deleted");
    assert!(flights.receipt_lost(id, receipts[2]));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_message_keeps_its_group_and_what_is_before_it_is_deleted() {
    let mut flights = Flights::new(LONGEST);
    let states = [State::Pending, State::Unreadable, State::Unreadable];
    let messages = states.iter().enumerate().map(|(n, state)| (format!("a{n}"), *state)).collect();
    let (id, receipts) = add(&mut flights, lease(), messages);
    flights.mark(receipts[0], State::Done);
    assert_eq!(handles(&flights.take_deletes(0, 10)), ["a0"]);
    flights.deleted(id);
    assert_eq!(flights.take_release(), None, "it would come again at once, and again");
    assert!(flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_abandoned_before_an_unreadable_message_comes_again_at_once() {
    let mut flights = Flights::new(LONGEST);
    let messages = vec![("a0".to_owned(), State::Pending), ("a1".to_owned(), State::Unreadable)];
    let (_, receipts) = add(&mut flights, lease(), messages);
    flights.mark(receipts[0], State::Abandoned);
    assert_eq!(flights.take_release().map(|release| release.handles.len()), Some(2));
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_does_not_have_is_not_extended() {
    let mut flights = Flights::new(LONGEST);
    let (_, receipts) = add(&mut flights, lease(), vec![("a0".to_owned(), State::Pending)]);
    assert!(flights.to_extend(Duration::ZERO, &[VISIBILITY]).is_empty());
    flights.handed_over(receipts[0]);
    assert_eq!(flights.to_extend(Duration::ZERO, &[VISIBILITY]).len(), 1);
    assert!(flights.to_extend(Duration::from_secs(10), &[VISIBILITY]).is_empty(), "it is fresh");
    flights.mark(receipts[0], State::Done);
    assert_eq!(flights.to_extend(Duration::ZERO, &[VISIBILITY]).len(), 1, "until it is deleted");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_extended_beyond_twelve_hours() {
    let mut flights = Flights::new(LONGEST);
    let (id, _) = fly(&mut flights, "a", 1);
    let lasts = |flights: &Flights| flights.extends_of(id, &[VISIBILITY]).first().map(|extend| extend.lasts);
    tokio::time::advance(Duration::from_secs(12 * 3_600 - 70)).await;
    assert_eq!(lasts(&flights), Some(Duration::from_secs(10)));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(lasts(&flights), None);
}

#[tokio::test(start_paused = true)]
async fn closing_gives_back_what_is_not_done_and_deletes_what_is() {
    let mut flights = Flights::new(LONGEST);
    let (id, receipts) = fly(&mut flights, "a", 3);
    flights.mark(receipts[0], State::Done);
    flights.abandon_all();
    assert_eq!(handles(&flights.take_deletes(0, 10)), ["a0"]);
    flights.deleted(id);
    assert_eq!(flights.take_release().map(|release| release.handles), Some(vec!["a1".into(), "a2".into()]));
    flights.released();
    assert!(flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_old_receipt_counts_for_nothing() {
    let mut flights = Flights::new(LONGEST);
    let (id, receipts) = fly(&mut flights, "a", 1);
    flights.mark(receipts[0], State::Abandoned);
    flights.mark(receipts[0], State::Done);
    flights.deleted(id);
    assert!(flights.take_deletes(0, 10).is_empty());
}

/// How long what gives way does so, while these others become done.
async fn gives_way_for(flights: &mut Flights, others: &mut impl Iterator<Item = u64>) -> Duration {
    let began = Instant::now();
    while flights.end_giving_way(false).is_some() {
        flights.mark(others.next().unwrap(), State::Done);
        tokio::time::advance(LOOK / 2).await;
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn held_messages_are_deleted_later_while_others_of_full_receives_are_handled() {
    let mut flights = Flights::new(LONGEST);
    let (_, others) = fly(&mut flights, "b", 120);
    let mut others = others.into_iter();
    let mut turns = Vec::new();
    for _ in 0..2 {
        let (id, held) = fly(&mut flights, "a", 2);
        held.iter().for_each(|receipt| flights.mark(*receipt, State::Held));
        turns.push(gives_way_for(&mut flights, &mut others).await);
        for expected in ["a0", "a1"] {
            let deletes = flights.take_deletes(0, 10);
            assert!(handles(&deletes).contains(&expected), "having given way once is enough");
            tokio::time::advance(LOOK / 4).await;
            flights.deleted(id);
        }
    }
    assert_eq!(turns, [LOOK, LOOK / 2 * REST], "that long because two deletes took half as long as a look");
}

#[tokio::test(start_paused = true)]
async fn a_held_flight_that_is_given_up_while_it_is_deleted_keeps_no_other_waiting() {
    let mut flights = Flights::new(LONGEST);
    for name in ["a", "b"] {
        let (id, held) = fly(&mut flights, name, 2);
        held.iter().for_each(|receipt| flights.mark(*receipt, State::Held));
        flights.end_giving_way(true);
        assert_eq!(flights.take_deletes(0, 10).len(), 1);
        flights.refused(id, name == "b");
    }
    let (_, others) = fly(&mut flights, "others", 10);
    let (_, held) = fly(&mut flights, "c", 1);
    flights.mark(held[0], State::Held);
    assert_eq!(gives_way_for(&mut flights, &mut others.into_iter()).await, LOOK);
}

#[tokio::test(start_paused = true)]
async fn a_failure_and_what_a_receive_that_was_not_full_brought_keep_nobody_waiting() {
    let mut flights = Flights::new(LONGEST);
    let (_, failed) = fly(&mut flights, "a", 2);
    flights.mark(failed[0], State::Done);
    flights.mark(failed[1], State::Held);
    assert_eq!(handles(&flights.take_deletes(0, 10)), ["a0"]);
    let (_, held) = fly(&mut flights, "b", 1);
    flights.mark(held[0], State::Held);
    let pending = Message { handle: "c0".to_owned(), index: None, state: State::Pending };
    let (_, last) = flights.add((0, false), lease(), vec![pending]);
    tokio::time::advance(LOOK).await;
    flights.mark(last[0], State::Done);
    flights.end_giving_way(false);
    assert_eq!(handles(&flights.take_deletes(0, 10)), ["c0", "b0"]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_gives_way_is_kept_invisible_and_goes_at_once_when_all_must() {
    let mut flights = Flights::new(LONGEST);
    let (_, held) = fly(&mut flights, "a", 1);
    flights.mark(held[0], State::Held);
    assert_eq!(flights.to_extend(Duration::ZERO, &[VISIBILITY]).len(), 1);
    assert_eq!(flights.end_giving_way(true), None);
    assert_eq!(handles(&flights.take_deletes(0, 10)), ["a0"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_while_it_gives_way_is_over() {
    let mut flights = Flights::new(LONGEST);
    let (id, held) = fly(&mut flights, "a", 1);
    flights.mark(held[0], State::Held);
    assert!(flights.receipt_lost(id, held[0]));
    assert_eq!(flights.end_giving_way(true), None);
    assert!(flights.take_deletes(0, 10).is_empty() && flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_nothing_keeps_but_deletes_is_counted_until_it_is_gone() {
    let mut flights = Flights::new(LONGEST);
    let (id, receipts) = fly(&mut flights, "a", 2);
    flights.mark(receipts[0], State::Done);
    assert_eq!(flights.deleting(), 0, "one of it runs");
    flights.mark(receipts[1], State::Done);
    for left in [1, 0] {
        assert_eq!(flights.deleting(), 1);
        flights.take_deletes(0, 10);
        flights.deleted(id);
        assert_eq!(flights.deleting(), left);
    }
    let (_, held) = fly(&mut flights, "b", 1);
    flights.mark(held[0], State::Held);
    assert_eq!(flights.deleting(), 0, "it gives way");
    flights.end_giving_way(true);
    assert_eq!(flights.deleting(), 1);
    let (lost, receipts) = fly(&mut flights, "c", 2);
    receipts.iter().for_each(|receipt| flights.mark(*receipt, State::Done));
    assert!(flights.receipt_lost(lost, receipts[1]));
    assert_eq!(flights.deleting(), 1);
}

#[tokio::test(start_paused = true)]
async fn there_is_something_to_tell_while_a_message_can_be_deleted_or_given_back_or_gives_way() {
    let mut flights = Flights::new(LONGEST);
    let (id, receipts) = fly(&mut flights, "a", 3);
    assert!(!flights.has_to_tell(), "all of it runs");
    flights.mark(receipts[0], State::Done);
    assert!(flights.has_to_tell());
    flights.take_deletes(0, 10);
    flights.mark(receipts[1], State::Done);
    assert!(!flights.has_to_tell(), "the first is being deleted");
    flights.deleted(id);
    assert!(flights.has_to_tell(), "the second is next");
    flights.take_deletes(0, 10);
    flights.mark(receipts[2], State::Abandoned);
    assert!(!flights.has_to_tell());
    flights.deleted(id);
    assert!(flights.has_to_tell(), "the third is to be given back");
    flights.take_release();
    assert!(!flights.has_to_tell());
    let (_, held) = fly(&mut flights, "b", 1);
    flights.mark(held[0], State::Held);
    assert!(flights.has_to_tell(), "somebody has to look when it has given way");
}
