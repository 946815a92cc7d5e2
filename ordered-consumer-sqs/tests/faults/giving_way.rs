//! A group that fails, with a backlog behind it, beside groups that do not; and deletes that do not keep up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{Event, Handler, HandlerError, MemoryFailureLog};
use tokio::time::{Instant, sleep};

use crate::{
    fake_sqs::{FakeSqs, Fault},
    rig::{VISIBILITY, builder, consumer, run_until},
};

const QUEUE: &str = "orders.fifo";
const BAD: &str = "bad";
const DELETE: &str = "DeleteMessageBatch";
const MINUTES: Duration = Duration::from_secs(60);

/// So many messages of a group that fails, and behind them so many each of twenty others.
fn filled(bad: usize, each: usize) -> (FakeSqs, String) {
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, VISIBILITY);
    for number in 0..bad {
        sqs.send(QUEUE, BAD, &format!("{BAD} {number}"));
    }
    for number in 0..each {
        for group in 0..20 {
            sqs.send(QUEUE, &format!("g{group}"), &number.to_string());
        }
    }
    (sqs, url)
}

/// Takes a tenth of a second for a message of a healthy group, unless it is a quick one, and counts it.
fn handler(handled: &Arc<AtomicUsize>) -> impl Handler + use<> {
    let handled = Arc::clone(handled);
    move |event: Event| {
        let handled = Arc::clone(&handled);
        async move {
            if event.entity().as_ref() == BAD.as_bytes() {
                return Err(HandlerError::from(std::io::Error::other("on purpose")));
            }
            if event.payload().is_none_or(|payload| payload != "quick") {
                sleep(Duration::from_millis(100)).await;
            }
            handled.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }
}

fn bad_kept(sqs: &FakeSqs) -> usize {
    sqs.queue(QUEUE, |queue| queue.kept().iter().filter(|body| body.starts_with(BAD)).count())
}

#[tokio::test(start_paused = true)]
async fn a_group_that_fails_gives_way_while_others_have_something_to_do_and_no_longer() {
    let (sqs, url) = filled(100, 50);
    sqs.slow_down(DELETE, Duration::from_millis(100));
    let source = builder(&sqs, &url).open().await.unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let consumer = consumer(handler(&handled), MemoryFailureLog::new());
    let began = Instant::now();
    let (mut others_took, mut bad_left) = (None, 0);
    run_until(&consumer, source, 5 * MINUTES, || {
        if others_took.is_none() && handled.load(Ordering::SeqCst) == 1_000 {
            others_took = Some(began.elapsed());
            bad_left = bad_kept(&sqs);
        }
        others_took.is_some() && sqs.queue(QUEUE, |queue| queue.kept().is_empty())
    })
    .await
    .unwrap();
    let others_took = others_took.unwrap();
    assert!(others_took < Duration::from_secs(12), "{others_took:?}");
    assert_eq!(
        bad_left, 90,
        "the first receive's were deleted, which took a second, and then others had their way"
    );
    // Nine receives, which are deleted in a second each, and each of which gives way for as long as it is not known that nobody
    // else has anything to do: a tenth of what it would take if each gave way for as long as it may.
    let bad_took = began.elapsed() - others_took;
    assert!(bad_took < Duration::from_secs(15), "{bad_took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_group_gives_way_for_as_long_as_it_may_and_for_no_time_when_the_consumer_stops() {
    let (sqs, url) = filled(100, 300);
    sqs.slow_down(DELETE, Duration::from_millis(100));
    let source = builder(&sqs, &url).give_way_max(Duration::from_secs(10)).open().await.unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let consumer = consumer(handler(&handled), MemoryFailureLog::new());
    let began = Instant::now();
    let (mut rested_from, mut rested_until) = (None, None);
    run_until(&consumer, source, 5 * MINUTES, || {
        let bad_left = bad_kept(&sqs);
        if bad_left == 90 {
            rested_from = rested_from.or(Some(Instant::now()));
        } else if bad_left < 90 {
            rested_until = rested_until.or(Some(Instant::now()));
        }
        began.elapsed() > Duration::from_secs(15)
    })
    .await
    .unwrap();
    assert_eq!((rested_until.unwrap() - rested_from.unwrap()).as_secs(), 10);
    assert!(handled.load(Ordering::SeqCst) < 6_000, "others had something to do all the while");
    assert_eq!(bad_kept(&sqs), 70, "the third receive gave way, and was deleted when the consumer stopped");
    assert!(sqs.queue(QUEUE, |queue| queue.in_flight().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn where_deletes_are_quick_a_group_that_fails_comes_into_the_log_at_a_hundredth_of_the_time() {
    let (sqs, url) = filled(1_000, 600);
    sqs.slow_down(DELETE, Duration::from_millis(10));
    let source = builder(&sqs, &url).open().await.unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let consumer = consumer(handler(&handled), MemoryFailureLog::new());
    let began = Instant::now();
    let mut bad_left = 0;
    run_until(&consumer, source, 5 * MINUTES, || {
        bad_left = bad_kept(&sqs);
        began.elapsed() > Duration::from_secs(50)
    })
    .await
    .unwrap();
    assert!(handled.load(Ordering::SeqCst) < 12_000, "others had something to do all the while");
    // Ten deletes of ten milliseconds, and some of those again until they share a request, a hundred times in all.
    let turns = (1_000 - bad_left) / 10;
    assert!((3..=7).contains(&turns), "{turns} receives of the group in fifty seconds");
}

#[tokio::test(start_paused = true)]
async fn with_as_many_receives_being_deleted_as_may_be_no_more_is_received() {
    let (sqs, url) = filled(0, 0);
    for group in 0..300 {
        sqs.send(QUEUE, &format!("g{group}"), "quick");
    }
    sqs.fail(DELETE, u32::MAX, Fault::Refused("RequestThrottled"));
    let source = builder(&sqs, &url).receivers(1).deleting_max(30).open().await.unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let consumer = consumer(handler(&handled), MemoryFailureLog::new());
    let began = Instant::now();
    let mut most = 0;
    run_until(&consumer, source, 5 * MINUTES, || {
        most = most.max(sqs.queue(QUEUE, |queue| queue.in_flight().len()));
        if began.elapsed() > Duration::from_secs(10) {
            sqs.fail(DELETE, 0, Fault::Refused("RequestThrottled"));
        }
        sqs.queue(QUEUE, |queue| queue.kept().is_empty())
    })
    .await
    .unwrap();
    // What was asked for before enough was done with comes on top.
    assert!((30..=80).contains(&most), "{most} messages of as many groups were in flight");
    assert_eq!(handled.load(Ordering::SeqCst), 300);
}

#[tokio::test(start_paused = true)]
async fn a_group_alone_waits_for_nobody_to_share_the_requests_that_delete_it() {
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, VISIBILITY);
    for number in 0..100 {
        sqs.send(QUEUE, "alone", &number.to_string());
    }
    sqs.slow_down(DELETE, Duration::from_millis(20));
    let source = builder(&sqs, &url).open().await.unwrap();
    let consumer = consumer(|_: Event| async { Ok::<_, HandlerError>(()) }, MemoryFailureLog::new());
    let began = Instant::now();
    let mut took = Duration::ZERO;
    run_until(&consumer, source, MINUTES, || {
        took = began.elapsed();
        sqs.queue(QUEUE, |queue| queue.kept().is_empty())
    })
    .await
    .unwrap();
    // A hundred deletes; the first of each receive may wait for 5 ms, because others may have come with it.
    assert!(took < Duration::from_millis(2_200), "{took:?}");
}
