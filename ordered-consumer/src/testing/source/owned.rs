//! Rules of sources whose streams are owned.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::{
    Reader, Received, SourceFixture,
    any::{places, publish},
};
use crate::{Assignment, Index, StreamName};

/// The failure log must know of the takeover before an event of the stream can be handled.
pub async fn nothing_comes_before_the_assignment_is_confirmed(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 2).await;
    let mut reader = Reader::open(&mut *fixture).await;
    reader.stop_confirming();
    assert!(reader.read_until_quiet().await.is_empty());
    reader.confirm_all().await;
    reader.read_all(&published).await;
}

/// Events are settled in any order; only what lies below the watermark is done.
pub async fn nothing_past_the_watermark_is_settled(mut fixture: Box<dyn SourceFixture>) {
    let mut published = Vec::new();
    for number in 0..4 {
        published.push(fixture.publish("a", &number.to_string()).await);
    }
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read(4).await;
    reader
        .settle(&[received[3].clone(), received[0].clone(), received[2].clone()], Some(received[0].index()));
    reader.wait_for_settled(received[0].index()).await;
    reader.close().await;
    let mut next = Reader::open(&mut *fixture).await;
    // What was settled past it may come again, and need not where the broker keeps such things.
    let again = next.read_all(&published[1..2]).await;
    assert!(again[0].index() <= published[1].1);
}

/// The failure log learns what is settled from the source.
pub async fn a_settled_watermark_is_confirmed(mut fixture: Box<dyn SourceFixture>) {
    fixture.publish("a", "1").await;
    fixture.publish("a", "2").await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read(2).await;
    reader.settle_through(&received);
    reader.wait_for_settled(received[1].index()).await;
}

/// Neither one that never was nor one of another time.
pub async fn an_assignment_that_is_not_is_not_confirmed(mut fixture: Box<dyn SourceFixture>) {
    fixture.publish("a", "1").await;
    let mut reader = Reader::open(&mut *fixture).await;
    let assignment = reader.read(1).await.remove(0).assignment;
    assert!(reader.confirms(&assignment).await);
    let other = Assignment { epoch: assignment.epoch.wrapping_add(1_000), ..assignment };
    assert!(!reader.confirms(&other).await);
}

/// A stream that must be taken over again is confirmed again, and then nothing unsettled is left out.
pub async fn a_stream_confirmed_again_begins_at_the_first_unsettled(mut fixture: Box<dyn SourceFixture>) {
    let mut published = Vec::new();
    for number in 0..4 {
        published.push(fixture.publish("a", &number.to_string()).await);
    }
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read(4).await;
    reader.settle_through(&received[..2]);
    reader.wait_for_settled(received[1].index()).await;
    reader.confirm_all().await;
    let again = reader.read_all(&published[2..]).await;
    assert!(again[0].index() <= published[2].1);
    reader.settle_through(&again);
    reader.wait_for_settled(published[3].1).await;
}

/// What two members do before one of them is looked at again.
const TURN: Duration = Duration::from_millis(100);

/// Two members: the first has had both streams, and is asked for some. Some brokers ask for all, and then assign anew.
struct Asked {
    old: Reader,
    new: Reader,
    revoked: Vec<Assignment>,
    /// The events of what was revoked.
    events: Vec<Received>,
    published: Vec<(StreamName, Index)>,
}

impl Asked {
    async fn for_some(fixture: &mut dyn SourceFixture) -> Self {
        let published = publish(fixture, 6).await;
        let mut old = Reader::open(fixture).await;
        let mut events = old.read_all(&published).await;
        let mut new = Reader::open(fixture).await;
        let begin = Instant::now();
        let mut revoked = Vec::new();
        while revoked.is_empty() {
            assert!(begin.elapsed() < fixture.patience(), "nothing was revoked");
            tokio::join!(old.ask_for(TURN), new.ask_for(TURN));
            revoked = old.take_revoked();
            let early = new.take_events_that_came();
            assert!(early.is_empty(), "{early:?} came before the old owner was asked");
        }
        events.retain(|event| revoked.contains(&event.assignment));
        assert!(!events.is_empty(), "a stream without events was revoked: let `a` and `b` be all streams");
        Self { old, new, revoked, events, published }
    }

    fn release(&mut self) {
        self.revoked.iter().for_each(|assignment| self.old.source().release(assignment));
    }

    async fn read_by_either(&mut self, patience: Duration) -> Vec<Received> {
        read_by_either((&mut self.old, &mut self.new), &places(&self.events), patience).await
    }
}

/// Where everything was revoked, either may be the next owner.
async fn read_by_either(
    (old, new): (&mut Reader, &mut Reader),
    places: &[(StreamName, Index)],
    patience: Duration,
) -> Vec<Received> {
    let begin = Instant::now();
    let mut came = Vec::new();
    let mut missing: BTreeSet<&(StreamName, Index)> = places.iter().collect();
    while !missing.is_empty() {
        assert!(begin.elapsed() < patience, "these did not come: {missing:?}");
        tokio::join!(old.ask_for(TURN), new.ask_for(TURN));
        for event in old.take_events_that_came().into_iter().chain(new.take_events_that_came()) {
            missing.remove(&(event.assignment.stream.clone(), event.index()));
            came.push(event);
        }
    }
    came.retain(|event| places.contains(&(event.assignment.stream.clone(), event.index())));
    came
}

/// The old owner's handlers may still run until it says that they do not.
pub async fn a_stream_is_handed_on_only_once_it_is_released(mut fixture: Box<dyn SourceFixture>) {
    let mut asked = Asked::for_some(&mut *fixture).await;
    let (_, early) = tokio::join!(asked.old.read_until_quiet(), asked.new.read_until_quiet());
    assert!(early.is_empty(), "before it was released: {early:?}");
    asked.release();
    asked.read_by_either(fixture.patience()).await;
}

/// Even from a process that does not know yet.
pub async fn a_settlement_of_an_assignment_that_is_gone_is_dropped(mut fixture: Box<dyn SourceFixture>) {
    let mut asked = Asked::for_some(&mut *fixture).await;
    asked.release();
    asked.old.settle_through(&asked.events);
    let again = asked.read_by_either(fixture.patience()).await;
    asked.old.settle_through(&asked.events);
    asked.old.read_until_quiet().await;
    let of_gone = again.iter().find(|event| asked.revoked.contains(&event.assignment));
    assert!(of_gone.is_none(), "it came under an assignment that is gone: {of_gone:?}");
    asked.new.crash(&mut *fixture).await;
    asked.old.crash(&mut *fixture).await;
    fixture.wait_for_redelivery().await;
    Reader::open(&mut *fixture).await.read_all(&places(&asked.events)).await;
}

/// An owner that was asked and has released must not take over again.
pub async fn a_released_assignment_is_not_confirmed(mut fixture: Box<dyn SourceFixture>) {
    let mut asked = Asked::for_some(&mut *fixture).await;
    asked.release();
    asked.read_by_either(fixture.patience()).await;
    for assignment in &asked.revoked {
        assert!(!asked.old.confirms(assignment).await);
    }
}

/// Between being asked and releasing, an owner still tells the broker what has become done.
pub async fn what_was_settled_before_the_release_counts(mut fixture: Box<dyn SourceFixture>) {
    let mut asked = Asked::for_some(&mut *fixture).await;
    let settled = asked.revoked[0].clone();
    asked.events.retain(|event| event.assignment == settled);
    asked.old.settle_through(&asked.events);
    asked.release();
    asked.old.read_until_quiet().await;
    asked.old.close().await;
    asked.new.close().await;
    let mut next = Reader::open(&mut *fixture).await;
    asked.published.retain(|(stream, _)| *stream != settled.stream);
    let mut again = next.read_all(&asked.published).await;
    again.extend(next.read_until_quiet().await);
    again.retain(|event| event.assignment.stream == settled.stream);
    assert!(again.is_empty(), "settled, and came: {again:?}");
}
