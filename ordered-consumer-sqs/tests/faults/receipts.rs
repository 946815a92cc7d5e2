//! Visibility that runs out, receipts that are lost, and one message in two hands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{Event, HandlerError, MemoryFailureLog};
use tokio::time::sleep;

use crate::{
    fake_sqs::{FakeSqs, Fault},
    rig::{Ran, Told, VISIBILITY, builder, consumer, handler, run_until},
};

const QUEUE: &str = "orders.fifo";
const MINUTES: Duration = Duration::from_secs(60);

fn filled(count: usize) -> (FakeSqs, String) {
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, VISIBILITY);
    for number in 0..count {
        sqs.send(QUEUE, "g", &number.to_string());
    }
    (sqs, url)
}

/// Handled in order, where an event may come again, as long as none comes that nobody was at before.
fn each_in_order(ran: &[String], count: usize) {
    let numbers: Vec<usize> =
        ran.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    let mut next = 0;
    for number in &numbers {
        assert!(*number <= next, "{numbers:?}");
        next = next.max(number + 1);
    }
    assert_eq!(next, count, "{numbers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_longer_than_the_visibility_timeout_keeps_its_group_by_heartbeats() {
    let (sqs, url) = filled(3);
    let source = builder(&sqs, &url).open().await.unwrap();
    let (ran, begun) = (Ran::default(), Ran::default());
    let slow = {
        let (ran, begun) = (ran.clone(), begun.clone());
        move |event: Event| {
            let ran = ran.clone();
            begun.add(&event);
            async move {
                sleep(Duration::from_secs(50)).await;
                ran.add(&event);
                Ok::<(), HandlerError>(())
            }
        }
    };
    let consumer = consumer(slow, MemoryFailureLog::new());
    run_until(&consumer, source, 5 * MINUTES, || sqs.queue(QUEUE, |queue| queue.kept().is_empty()))
        .await
        .unwrap();
    assert_eq!(ran.all(), ["g 0", "g 1", "g 2"]);
    assert_eq!(begun.all(), ran.all(), "none began twice");
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_broken_off_before_its_message_is_visible_again_and_the_message_comes_again() {
    let (told, _listens) = Told::listen();
    let (sqs, url) = filled(2);
    let source = builder(&sqs, &url).open().await.unwrap();
    sqs.fail("ChangeMessageVisibilityBatch", u32::MAX, Fault::Refused("RequestThrottled"));
    let runs = Arc::new(AtomicU32::new(0));
    let overlaps = Arc::new(AtomicU32::new(0));
    let ran = Ran::default();
    /// One run, until it ends or is dropped.
    struct Runs(Arc<AtomicU32>);
    impl Drop for Runs {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let hangs_at_first = {
        let (ran, runs, overlaps, times) =
            (ran.clone(), Arc::clone(&runs), Arc::clone(&overlaps), AtomicU32::new(0));
        move |event: Event| {
            overlaps.fetch_add(runs.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
            let run = Runs(Arc::clone(&runs));
            let hangs = times.fetch_add(1, Ordering::SeqCst) == 0;
            ran.add(&event);
            async move {
                if hangs {
                    sleep(20 * MINUTES).await;
                }
                drop(run);
                Ok::<(), HandlerError>(())
            }
        }
    };
    let consumer = consumer(hangs_at_first, MemoryFailureLog::new());
    run_until(&consumer, source, 5 * MINUTES, || {
        let done = runs.load(Ordering::SeqCst) == 0 && sqs.queue(QUEUE, |queue| queue.kept().is_empty());
        if done {
            sqs.fail("ChangeMessageVisibilityBatch", 0, Fault::AnswerLost);
        }
        done
    })
    .await
    .unwrap();
    each_in_order(&ran.all(), 2);
    assert_eq!(overlaps.load(Ordering::SeqCst), 0, "two handlers of one group ran at the same time");
    assert!(told.count("messages could not be kept invisible") > 0, "{}", told.all());
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_lost_before_the_delete_is_told_of_by_its_index_and_the_order_holds() {
    let (told, _listens) = Told::listen();
    let (sqs, url) = filled(4);
    let source = builder(&sqs, &url).open().await.unwrap();
    let ran = Ran::default();
    let again = AtomicU32::new(0);
    let runs_out = {
        let (ran, sqs) = (ran.clone(), sqs.clone());
        move |event: Event| {
            ran.add(&event);
            if again.fetch_add(1, Ordering::SeqCst) == 1 {
                sqs.queue(QUEUE, |queue| queue.run_out());
            }
            async { Ok::<(), HandlerError>(()) }
        }
    };
    let consumer = consumer(runs_out, MemoryFailureLog::new());
    run_until(&consumer, source, 10 * MINUTES, || sqs.queue(QUEUE, |queue| queue.kept().is_empty()))
        .await
        .unwrap();
    each_in_order(&ran.all(), 4);
    let text = told.all();
    assert!(
        text.contains("visible again before they were deleted") && text.contains("index=\"98849"),
        "{text}"
    );
    assert!(text.contains("stream=orders.fifo"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_refused_gives_the_rest_back_and_nothing_is_overtaken() {
    let (told, _listens) = Told::listen();
    let (sqs, url) = filled(6);
    let source = builder(&sqs, &url).open().await.unwrap();
    sqs.fail("DeleteMessageBatch", 1, Fault::Entries("InternalError", false));
    let ran = Ran::default();
    let consumer = consumer(handler(&ran, |_| false), MemoryFailureLog::new());
    run_until(&consumer, source, 10 * MINUTES, || sqs.queue(QUEUE, |queue| queue.kept().is_empty()))
        .await
        .unwrap();
    each_in_order(&ran.all(), 6);
    assert_eq!(told.count("SQS has not deleted messages"), 1, "{}", told.all());
}

// As when the visibility of a process that stands still has run out, and it wakes.
#[tokio::test(start_paused = true)]
async fn a_message_that_two_consumers_have_at_once_is_handled_and_nothing_of_its_group_overtakes_it() {
    let (sqs, url) = filled(5);
    let (one, other) = (builder(&sqs, &url).open().await.unwrap(), builder(&sqs, &url).open().await.unwrap());
    let (log, ran) = (MemoryFailureLog::new(), Ran::default());
    let given_to_both = {
        let (ran, sqs, given) = (ran.clone(), sqs.clone(), AtomicU32::new(0));
        move |event: Event| {
            ran.add(&event);
            if given.fetch_add(1, Ordering::SeqCst) == 0 {
                // While it runs, its messages are visible to the other one.
                sqs.queue(QUEUE, |queue| queue.run_out());
            }
            async {
                sleep(Duration::from_secs(5)).await;
                Ok::<(), HandlerError>(())
            }
        }
    };
    let (first, second) = (consumer(given_to_both, log.clone()), consumer(handler(&ran, |_| false), log));
    let handled = |number: u32| ran.all().contains(&format!("g {number}"));
    let done = || (0..5).all(handled) && sqs.queue(QUEUE, |queue| queue.kept().is_empty());
    let (ended, also_ended) = tokio::join!(
        run_until(&first, one, 20 * MINUTES, done),
        run_until(&second, other, 20 * MINUTES, done)
    );
    ended.unwrap();
    also_ended.unwrap();
    each_in_order(&ran.all(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_done_with_at_shutdown_is_visible_again_at_once_the_first_message_last() {
    let (sqs, url) = filled(3);
    let source = builder(&sqs, &url).open().await.unwrap();
    let ran = Ran::default();
    let never = {
        let ran = ran.clone();
        move |event: Event| {
            ran.add(&event);
            std::future::pending::<Result<(), HandlerError>>()
        }
    };
    let consumer = consumer(never, MemoryFailureLog::new());
    run_until(&consumer, source, MINUTES, || !ran.all().is_empty()).await.unwrap();
    assert!(sqs.queue(QUEUE, |queue| queue.in_flight().is_empty()), "its visibility would last for 30 s");
    assert_eq!(sqs.queue(QUEUE, |queue| queue.kept().len()), 3);
    let given_back = sqs.requests("ChangeMessageVisibilityBatch").pop().unwrap().1;
    let handles: Vec<&str> = given_back["Entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["ReceiptHandle"].as_str().unwrap())
        .collect();
    let mut in_order = handles.clone();
    in_order.sort_unstable();
    in_order.reverse();
    assert_eq!(handles, in_order);
    assert!(given_back["Entries"].as_array().unwrap().iter().all(|entry| entry["VisibilityTimeout"] == 0));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_at_shutdown_keeps_its_message_until_it_ends() {
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, Duration::from_secs(6));
    sqs.send(QUEUE, "g", "0");
    let source = builder(&sqs, &url).open().await.unwrap();
    let (begun, ended) = (Ran::default(), Ran::default());
    let slow = {
        let (begun, ended) = (begun.clone(), ended.clone());
        move |event: Event| {
            begun.add(&event);
            let ended = ended.clone();
            async move {
                sleep(Duration::from_secs(9)).await;
                ended.add(&event);
                Ok::<(), HandlerError>(())
            }
        }
    };
    let consumer = consumer(slow, MemoryFailureLog::new());
    run_until(&consumer, source, MINUTES, || !begun.all().is_empty()).await.unwrap();
    assert_eq!(ended.all(), ["g 0"], "ten seconds are its own, and its visibility lasts for six");
    assert!(sqs.queue(QUEUE, |queue| queue.kept().is_empty()));
}
