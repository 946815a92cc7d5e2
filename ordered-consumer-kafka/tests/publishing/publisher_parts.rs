//! A fixture's publishing half: a real publisher, of which some copies are too large.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use ordered_consumer::{Event, EventPublisher, Index, Published, ReleasedEvent};
use ordered_consumer_kafka::KafkaPublisher;

/// The indexes whose copies the broker refuses for good.
pub(crate) type Refused = Arc<Mutex<BTreeSet<Index>>>;

/// Publishes through a [`KafkaPublisher`]; events of refused indexes are made larger than any broker takes, so that it
/// is the client and the broker who refuse them.
#[derive(Debug)]
pub(crate) struct RefusingPublisher {
    pub(crate) publisher: Arc<KafkaPublisher>,
    pub(crate) refused: Refused,
}

#[async_trait]
impl EventPublisher for RefusingPublisher {
    fn describe(&self) -> String {
        self.publisher.describe()
    }

    async fn publish(&self, events: &[ReleasedEvent]) -> Published {
        let refused = self.refused.lock().unwrap().clone();
        let sent = events.iter().map(|released| {
            if !refused.contains(&released.event.index()) {
                return released.clone();
            }
            let event = &released.event;
            let event = Event::builder(event.stream().clone(), event.index(), event.entity().clone())
                .payload(vec![0; 2_000_000])
                .build();
            ReleasedEvent { event, attempts: released.attempts }
        });
        self.publisher.publish(&sent.collect::<Vec<_>>()).await
    }
}
