//! SQS does not answer, says no, or is too busy: nothing is lost, and it is asked ever less often.

use std::time::Duration;

use ordered_consumer::{
    MemoryFailureLog, RunError, SourceError,
    testing::{FaultyFailureLog, LogFault},
};
use tokio::time::{Instant, sleep};

use crate::{
    fake_sqs::{FakeSqs, Fault},
    rig::{Ran, Told, VISIBILITY, builder, consumer, handler, run_until},
};

const QUEUE: &str = "orders.fifo";
const MINUTES: Duration = Duration::from_secs(60);
/// More often than anything is asked.
const EVER: u32 = u32::MAX;

fn filled(groups: usize, each: usize) -> (FakeSqs, String) {
    let sqs = FakeSqs::default();
    let url = sqs.make(QUEUE, VISIBILITY);
    fill(&sqs, groups, each);
    (sqs, url)
}

fn fill(sqs: &FakeSqs, groups: usize, each: usize) {
    for number in 0..each {
        for group in 0..groups {
            sqs.send(QUEUE, &format!("g{group}"), &number.to_string());
        }
    }
}

/// Ten minutes of it, and then it is over: how often SQS was asked meanwhile, by each of four receivers.
async fn asked_through(code: &'static str) -> (usize, String) {
    let (told, _listens) = Told::listen();
    let (sqs, url) = filled(3, 4);
    let source = builder(&sqs, &url).receivers(4).open().await.unwrap();
    sqs.fail("ReceiveMessage", EVER, Fault::Refused(code));
    let ran = Ran::default();
    let (consumer, begun) = (consumer(handler(&ran, |_| false), MemoryFailureLog::new()), Instant::now());
    let mut asked = None;
    let so = || {
        if asked.is_none() && begun.elapsed() > 10 * MINUTES {
            asked = Some(sqs.requests("ReceiveMessage").len());
            sqs.fail("ReceiveMessage", 0, Fault::AnswerLost);
        }
        ran.all().len() == 12 && sqs.queue(QUEUE, |queue| queue.kept().is_empty())
    };
    run_until(&consumer, source, 11 * MINUTES, so).await.unwrap();
    (asked.unwrap(), told.all())
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_throttled_asks_ever_less_often_says_so_and_loses_nothing() {
    let (asked, told) = asked_through("RequestThrottled").await;
    // Every ten seconds at last, four of them.
    assert!((100..400).contains(&asked), "asked {asked} times in ten minutes");
    assert!(told.contains("not available for receiving from queue orders.fifo: RequestThrottled"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_have_expired_are_told_of_without_showing_them_and_waited_for() {
    let (asked, told) = asked_through("ExpiredToken").await;
    assert!(asked < 400, "asked {asked} times in ten minutes");
    assert!(told.contains("ExpiredToken: the credentials have expired"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn missing_rights_end_the_run_and_say_on_which_queue() {
    let (sqs, url) = filled(1, 1);
    let source = builder(&sqs, &url).open().await.unwrap();
    sqs.fail("ReceiveMessage", EVER, Fault::Refused("AccessDenied"));
    let consumer = consumer(handler(&Ran::default(), |_| false), MemoryFailureLog::new());
    let ended = consumer.run(source).await;
    let Err(RunError::Source { source: SourceError::Fatal { why, .. } }) = ended else { panic!("{ended:?}") };
    assert!(why.contains("SQS refuses receiving from queue orders.fifo: the credentials in use"), "{why}");
    assert!(why.contains("nothing of the queue is lost"), "{why}");
    assert!(sqs.requests("ReceiveMessage").len() <= 4, "each receiver asks once");
    assert_eq!(sqs.queue(QUEUE, |queue| queue.kept().len()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_deleted_while_it_is_read_ends_the_run_at_once() {
    let (sqs, url) = filled(1, 1);
    let source = builder(&sqs, &url).open().await.unwrap();
    let ran = Ran::default();
    let consumer = consumer(handler(&ran, |_| false), MemoryFailureLog::new());
    let deleted = async {
        while ran.all().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        sqs.delete(QUEUE);
    };
    let (ended, ()) = tokio::join!(consumer.run(source), deleted);
    let Err(RunError::Source { source: SourceError::Fatal { why, .. } }) = ended else { panic!("{ended:?}") };
    assert!(why.contains("there is no such queue, or no longer"), "{why}");
    let asked = sqs.requests("ReceiveMessage").len();
    sleep(10 * MINUTES).await;
    assert_eq!(sqs.requests("ReceiveMessage").len(), asked, "nobody asks any more");
}

#[tokio::test(start_paused = true)]
async fn deletes_that_are_throttled_are_tried_again_and_nothing_runs_twice() {
    let (told, _listens) = Told::listen();
    let (sqs, url) = filled(5, 3);
    let source = builder(&sqs, &url).open().await.unwrap();
    sqs.fail("DeleteMessageBatch", 4, Fault::Refused("RequestThrottled"));
    let ran = Ran::default();
    let consumer = consumer(handler(&ran, |_| false), MemoryFailureLog::new());
    run_until(&consumer, source, MINUTES, || sqs.queue(QUEUE, |queue| queue.kept().is_empty()))
        .await
        .unwrap();
    assert_eq!(ran.all().len(), 15);
    assert_eq!(told.count("what is done with is not deleted yet"), 1, "{}", told.all());
}

// The messages are invisible then, and nobody has them.
#[tokio::test(start_paused = true)]
async fn messages_of_which_the_answer_was_lost_come_again_when_their_visibility_has_run_out() {
    let (sqs, url) = filled(2, 3);
    let source = builder(&sqs, &url).open().await.unwrap();
    sqs.fail("ReceiveMessage", 1, Fault::AnswerLost);
    let ran = Ran::default();
    let consumer = consumer(handler(&ran, |_| false), MemoryFailureLog::new());
    run_until(&consumer, source, 3 * MINUTES, || sqs.queue(QUEUE, |queue| queue.kept().is_empty()))
        .await
        .unwrap();
    for group in ["g0", "g1"] {
        let of: Vec<String> = ran.all().into_iter().filter(|line| line.starts_with(group)).collect();
        let expected: Vec<String> = (0..3).map(|number| format!("{group} {number}")).collect();
        assert_eq!(of, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_failure_log_is_away_nothing_is_deleted_and_afterwards_everything_runs_in_order() {
    let (sqs, url) = filled(0, 0);
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let source = builder(&sqs, &url).open().await.unwrap();
    let ran = Ran::default();
    let (consumer, begun) = (consumer(handler(&ran, |_| false), log.clone()), Instant::now());
    let (mut kept, mut asked) = (0, 0);
    let mut is_away = false;
    let so = || {
        // It is there when the consumer starts, and away when the first event comes.
        if !is_away && begun.elapsed() > Duration::from_secs(10) {
            is_away = true;
            log.fail_randomly(1, 1, &[LogFault::Unavailable]);
            fill(&sqs, 4, 5);
        }
        if kept == 0 && begun.elapsed() > 10 * MINUTES {
            kept = sqs.queue(QUEUE, |queue| queue.kept().len());
            asked = sqs.requests("ReceiveMessage").len() + sqs.requests("ChangeMessageVisibilityBatch").len();
            log.recover();
        }
        kept > 0 && sqs.queue(QUEUE, |queue| queue.kept().is_empty())
    };
    run_until(&consumer, source, 15 * MINUTES, so).await.unwrap();
    assert_eq!(kept, 20, "nothing was deleted");
    assert!(asked < 2_000, "{asked} requests in ten minutes of outage");
    for group in 0..4 {
        let group = format!("g{group} ");
        let of: Vec<String> = ran.all().into_iter().filter(|line| line.starts_with(&group)).collect();
        let expected: Vec<String> = (0..5).map(|number| format!("{group}{number}")).collect();
        assert_eq!(of, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receive_costs_one_look_up_in_the_failure_log_whatever_came_with_it() {
    let (sqs, url) = filled(20, 2);
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let source = builder(&sqs, &url).receivers(1).open().await.unwrap();
    let ran = Ran::default();
    let consumer = consumer(handler(&ran, |_| false), log.clone());
    run_until(&consumer, source, MINUTES, || ran.all().len() == 40).await.unwrap();
    let with_messages = 40 / 10;
    assert!(log.calls().which_gated <= with_messages, "{:?}", log.calls());
}
