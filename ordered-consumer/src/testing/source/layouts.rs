//! Rules of sources whose broker may add streams to a topic.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::timeout;

use super::{Reader, Received, SourceFixture, any::publish};
use crate::{Assignment, Confirmation, Index, Layout, StreamName};

/// Confirms an assignment of this source once more, and returns what is said of it.
async fn confirm(reader: &mut Reader, patience: Duration, assignment: &Assignment) -> Confirmation {
    let confirming = reader.source().confirm(assignment);
    match timeout(patience, confirming).await {
        Ok(Ok(Some(confirmation))) => confirmation,
        other => panic!("{assignment:?} is not confirmed: {other:?}"),
    }
}

async fn layout(reader: &mut Reader, patience: Duration, assignment: &Assignment) -> Layout {
    let layout = confirm(reader, patience, assignment).await.layout;
    layout.unwrap_or_else(|| panic!("a source without layouts must not name this theme"))
}

/// A stream that was confirmed again begins again; so does what its reader knows of it.
async fn begin_again(reader: &mut Reader, published: &[(StreamName, Index)]) -> Vec<Received> {
    reader.confirm_all().await;
    reader.read_all(published).await
}

fn assignments(received: &[Received]) -> Vec<Assignment> {
    let mut assignments: Vec<Assignment> = Vec::new();
    for event in received {
        if !assignments.contains(&event.assignment) {
            assignments.push(event.assignment.clone());
        }
    }
    assignments
}

/// So that a stream's number and name say the same, in every process.
pub async fn a_stream_is_called_by_its_layouts_name_and_its_number(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 2).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read_all(&published).await;
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for assignment in assignments(&received) {
        let layout = layout(&mut reader, fixture.patience(), &assignment).await;
        assert_eq!(layout.stream(layout.number).as_ref(), Ok(&assignment.stream));
        assert!(layout.number < layout.streams, "{layout:?}");
        assert!(layout.streams >= 2, "{layout:?}");
        names.insert(layout.name);
        numbers.insert(layout.number);
    }
    assert_eq!((names.len(), numbers.len()), (1, 2));
}

/// What has been handled, and what the broker keeps no longer, counts, too: it may be held in the failure log.
pub async fn a_layout_tells_how_far_its_streams_reach(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 5).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let mut received = reader.read_all(&published).await;
    let last_of = |stream: &StreamName| {
        let indexes = published.iter().filter(|(of, _)| of == stream).map(|(_, index)| *index);
        indexes.max()
    };
    for settled in [false, true] {
        if settled {
            received = begin_again(&mut reader, &published).await;
            reader.settle_through(&received);
            reader.read_until_quiet().await;
        }
        for assignment in assignments(&received) {
            let layout = layout(&mut reader, fixture.patience(), &assignment).await;
            let last = last_indexes(&mut reader, fixture.patience(), &assignment, layout.streams).await;
            for (number, last) in (0..).zip(&last) {
                let stream = layout.stream(number).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(*last, last_of(&stream), "of {stream}, settled: {settled}");
            }
            let some = last_indexes(&mut reader, fixture.patience(), &assignment, 1).await;
            assert_eq!(some, last[..1], "only so many are asked about");
        }
    }
}

async fn last_indexes(
    reader: &mut Reader,
    patience: Duration,
    assignment: &Assignment,
    streams: u32,
) -> Vec<Option<Index>> {
    let telling = reader.source().last_indexes(assignment, streams);
    match timeout(patience, telling).await {
        Ok(Ok(last)) if u32::try_from(last.len()) == Ok(streams) => last,
        other => panic!("of {streams} streams it is told: {other:?}"),
    }
}

/// From then on every stream of the layout says so, the old ones, too.
pub async fn streams_that_are_added_are_counted(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 2).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read_all(&published).await;
    let assigned = assignments(&received);
    let before = layout(&mut reader, fixture.patience(), &assigned[0]).await;
    let received = begin_again(&mut reader, &published).await;
    let now = before.streams + 2;
    fixture.add_streams(now).await;
    let added = fixture.publish_to(now - 1, "c", "new").await;
    reader.settle_through(&received);
    let received = reader.read_all(std::slice::from_ref(&added)).await;
    let new = received.iter().find(|event| event.assignment.stream == added.0);
    let Some(new) = new else { panic!("the event of the added stream did not come") };
    let after = layout(&mut reader, fixture.patience(), &new.assignment).await;
    let name = before.name;
    assert_eq!(after, Layout { name: name.clone(), number: now - 1, streams: now });
    // Its owner is asked about the old ones before it may be consumed.
    let last = last_indexes(&mut reader, fixture.patience(), &new.assignment, before.streams).await;
    assert_eq!(last.iter().filter(|last| last.is_some()).count(), 2, "{last:?}");
}

/// Streams that were added must not wait for an owner that has nothing to do.
pub async fn what_was_settled_before_is_told_with_the_confirmation(mut fixture: Box<dyn SourceFixture>) {
    let published = publish(&mut *fixture, 4).await;
    let mut reader = Reader::open(&mut *fixture).await;
    let received = reader.read_all(&published).await;
    reader.settle_through(&received);
    for event in &received {
        reader.wait_for_settled(event.index()).await;
    }
    reader.read_until_quiet().await;
    reader.close().await;
    let mut next = Reader::open(&mut *fixture).await;
    let more = publish(&mut *fixture, 2).await;
    let received = next.read_all(&more).await;
    for assignment in assignments(&received) {
        let confirmation = confirm(&mut next, fixture.patience(), &assignment).await;
        let first = more.iter().find(|(stream, _)| *stream == assignment.stream).map(|(_, index)| *index);
        assert!(confirmation.position.is_some(), "a position tells what lies below it");
        assert_eq!(confirmation.position, first, "of {}", assignment.stream);
    }
}
