//! Scenario 36: a failure log that is away for ten minutes, as the source sees it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use ordered_consumer::{
    Assignment, Confirming, EventSource, LastIndexes, Limits, Settlement, Sharing, SourceError,
    SourceMessage,
    in_memory_broker::{GroupOptions, InMemorySource},
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{
    Running, Scripted, World, eventually,
    world::{NAME, consumer},
};

/// What went through a source.
#[derive(Debug, Default)]
struct Seen {
    assigned: AtomicUsize,
    revoked: AtomicUsize,
    events: AtomicUsize,
    settled: AtomicUsize,
    paused: AtomicUsize,
}

struct Watched(InMemorySource, Arc<Seen>);

#[async_trait]
impl EventSource for Watched {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn sharing(&self) -> Sharing {
        self.0.sharing()
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        let message = self.0.next().await?;
        let (count, by) = match &message {
            SourceMessage::Assigned(streams) => (&self.1.assigned, streams.len()),
            SourceMessage::Revoked { assignments, .. } => (&self.1.revoked, assignments.len()),
            SourceMessage::Events { deliveries, .. } => (&self.1.events, deliveries.len()),
            SourceMessage::Copies(_) | SourceMessage::Settled { .. } | SourceMessage::Ended | _ => {
                (&self.1.settled, 1)
            }
        };
        count.fetch_add(by, Ordering::SeqCst);
        Ok(message)
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        self.0.confirm(assignment)
    }

    fn last_indexes(&mut self, assignment: &Assignment, streams: u32) -> LastIndexes {
        self.0.last_indexes(assignment, streams)
    }

    fn pause(&mut self, assignment: &Assignment) {
        self.1.paused.fetch_add(1, Ordering::SeqCst);
        self.0.pause(assignment);
    }

    fn resume(&mut self, assignment: &Assignment) {
        self.1.paused.fetch_sub(1, Ordering::SeqCst);
        self.0.resume(assignment);
    }

    fn settle(&mut self, settlement: Settlement) {
        self.0.settle(settlement);
    }

    fn release(&mut self, assignment: &Assignment) {
        self.0.release(assignment);
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.0.close().await
    }
}

// A broker that declares a member dead which does not ask for ten seconds keeps this one for ten minutes.
#[tokio::test(start_paused = true)]
async fn while_the_failure_log_is_away_for_ten_minutes_the_stream_is_paused_and_still_polled_and_nothing_piles_up()
 {
    let world = World::with(&[]);
    let session_timeout = Some(Duration::from_secs(10));
    world
        .broker
        .create_group(NAME, GroupOptions { batch_max: 5, session_timeout, ..GroupOptions::default() });
    let log = FaultyFailureLog::new(world.log.clone());
    let handler = Scripted::failing(&[("a1", 1)]);
    let limits = Limits { buffered_events_max: 20, uncommitted_max: 20, ..Limits::default() };
    let seen = Arc::new(Seen::default());
    let source = Watched(world.source(), Arc::clone(&seen));
    let running = Running::start(consumer(&handler, log.clone()).with_limits(limits), source);
    eventually("the stream is taken over", || seen.assigned.load(Ordering::SeqCst) == 1).await;
    world.send(&["z1"]);
    eventually("it flows", || world.broker.lag(NAME) == 0).await;
    let before = world.broker.committed(NAME, &world.stream(0));
    log.fail_randomly(1, 1, &[LogFault::Unavailable]);
    for number in 1..=2_000 {
        world.send_to("a", &format!("a{number}"));
    }
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let taken = seen.events.load(Ordering::SeqCst);
        assert!(taken <= 1 + 20 + 5 + 5, "{taken} events were taken from the broker");
        assert_eq!(seen.paused.load(Ordering::SeqCst), 1, "the stream is paused");
        assert_eq!(world.broker.committed(NAME, &world.stream(0)), before, "no offset has moved");
    }
    let (assigned, revoked) = (seen.assigned.load(Ordering::SeqCst), seen.revoked.load(Ordering::SeqCst));
    assert_eq!((assigned, revoked), (1, 0), "it is still a member: it was asked all the time");
    assert_eq!(handler.runs.runs().len(), 2, "one failed, and nothing behind it has begun");
    log.recover();
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.assert_order(&handler.runs);
    assert_eq!(handler.runs.succeeded_of("a").len(), 2_000);
}
