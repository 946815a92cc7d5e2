//! Putting many events together.

use std::{fmt, sync::Arc};

use crate::{Context, Event, EventBuilder, event::Fields};

/// Events that share an allocation.
const PAGE_EVENTS: usize = 32;
/// Bytes of such events, by [`Event::size`]: a page is closed with the event that reaches this.
const PAGE_BYTES: usize = 16_384;

/// Puts events together that a source has received one after the other.
///
/// Events are made in one thread and dropped in others, which makes an allocation for each of them dear. Here up to 32 share
/// one, of 16 KiB at most but for the last of them. The price is that whoever keeps one of them keeps them all, which is why
/// they are not more.
///
/// ```
/// # use ordered_consumer::{Event, EventBatch, Index, StreamName};
/// # fn main() -> Result<(), ordered_consumer::NameError> {
/// let stream = StreamName::new("orders/0")?;
/// let mut batch = EventBatch::default();
/// for offset in 0..100_u64 {
///     batch.push(Event::builder(stream.clone(), Index::from(offset), "order-1").payload("paid"));
/// }
/// assert_eq!((batch.len(), batch.bytes()), (100, 1_100));
/// let events = batch.finish();
/// assert_eq!(events[99].to_string(), "event 99 of stream orders/0");
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct EventBatch {
    page: Vec<Fields>,
    contexts: Vec<Context>,
    page_bytes: usize,
    events: Vec<Event>,
    bytes: usize,
}

impl EventBatch {
    /// Takes one more event.
    #[inline]
    pub fn push(&mut self, event: EventBuilder) {
        let EventBuilder { fields, context } = event;
        let size = fields.size();
        self.bytes += size;
        self.page_bytes += size;
        self.page.push(fields);
        self.contexts.push(context);
        if self.page.len() >= PAGE_EVENTS || self.page_bytes >= PAGE_BYTES {
            self.close_page();
        }
    }

    /// How many events it has taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len() + self.page.len()
    }

    /// Whether it has taken none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all of them, by [`Event::size`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The events, in the order in which they came.
    #[must_use]
    pub fn finish(mut self) -> Vec<Event> {
        self.close_page();
        self.events
    }

    fn close_page(&mut self) {
        if self.page.is_empty() {
            return;
        }
        self.page_bytes = 0;
        let page: Arc<[Fields]> = self.page.drain(..).collect();
        let contexts = self.contexts.drain(..);
        self.events.extend((0..).zip(contexts).map(|(place, context)| Event::of_page(&page, place, context)));
    }
}

impl fmt::Debug for EventBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events of {} bytes", self.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Index, StreamName};

    fn builders(sizes: &[usize]) -> Vec<EventBuilder> {
        let stream = StreamName::new("s").unwrap();
        let build = |(place, size): (u64, &usize)| {
            let event = Event::builder(stream.clone(), Index::from(place), "e").payload(vec![7; *size]);
            event.redelivered(place % 3 == 0)
        };
        (0..).zip(sizes).map(build).collect()
    }

    proptest! {
        #[test]
        fn events_are_the_same_and_in_order_whatever_shares_their_page(
            sizes in proptest::collection::vec(0..40_000_usize, 0..80),
        ) {
            let mut batch = EventBatch::default();
            builders(&sizes).into_iter().for_each(|event| batch.push(event));
            let alone: Vec<Event> = builders(&sizes).into_iter().map(EventBuilder::build).collect();
            prop_assert_eq!(batch.len(), sizes.len());
            prop_assert_eq!(batch.bytes(), alone.iter().map(Event::size).sum::<usize>());
            let together = batch.finish();
            prop_assert_eq!(together.len(), alone.len());
            for (one, other) in together.iter().zip(&alone) {
                prop_assert_eq!(one.index(), other.index());
                prop_assert_eq!(one.payload(), other.payload());
                prop_assert_eq!(one.context(), other.context());
            }
        }
    }

    #[test]
    fn a_page_has_at_most_so_many_events_and_no_event_behind_one_that_fills_it() {
        let mut batch = EventBatch::default();
        builders(&[1; PAGE_EVENTS + 1]).into_iter().for_each(|event| batch.push(event));
        let events = batch.finish();
        assert!(events[0].shares_page(&events[PAGE_EVENTS - 1]));
        assert!(!events[0].shares_page(&events[PAGE_EVENTS]));
        let mut batch = EventBatch::default();
        builders(&[1, PAGE_BYTES, 1]).into_iter().for_each(|event| batch.push(event));
        let events = batch.finish();
        assert!(events[0].shares_page(&events[1]) && !events[1].shares_page(&events[2]));
    }
}
