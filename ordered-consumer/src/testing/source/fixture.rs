//! What the suite needs of a broker.

use std::time::Duration;

use async_trait::async_trait;

use crate::{EventPublisher, EventSource, Index, Sharing, StreamName};

/// A broker with one topic or queue, and one group of consumers that reads it. Made anew for each rule.
///
/// Methods that a broker's themes do not need have a default that panics.
#[async_trait]
pub trait SourceFixture: Send {
    /// Whether the streams are owned or shared; an owned topic has two partitions at least.
    fn sharing(&self) -> Sharing;

    /// How long to wait for what must come. Longer than a rebalance takes, and shorter than a visibility timeout.
    fn patience(&self) -> Duration;

    /// How long to wait before it is believed that nothing comes.
    fn quiet(&self) -> Duration;

    /// Publishes an event of this entity, and says where it is. Entities named `a` and `b` are in different streams
    /// where streams are owned.
    async fn publish(&mut self, entity: &str, payload: &str) -> (StreamName, Index);

    /// One more source of the same group, with the retry stream if there is one.
    async fn open(&mut self) -> Box<dyn EventSource>;

    /// Has a source's process die.
    async fn crash(&mut self, source: Box<dyn EventSource>) {
        drop(source);
    }

    /// Waits until the broker delivers again what a crashed source had received.
    async fn wait_for_redelivery(&mut self);

    /// Adds empty streams to the topic, until it has so many.
    async fn add_streams(&mut self, streams: u32) {
        panic!("the theme `layouts` needs a broker that can add streams, until there are {streams}");
    }

    /// As [`publish`](Self::publish), to the stream of this number, whatever the entity.
    async fn publish_to(&mut self, number: u32, entity: &str, payload: &str) -> (StreamName, Index) {
        panic!("the theme `layouts` needs a stream {number} to which {entity} and {payload} can be sent");
    }

    /// Refuses the next delete.
    async fn refuse_next_delete(&mut self) {
        panic!("the theme `shared` needs a broker that can refuse a delete");
    }

    /// What sends released events to the retry stream.
    fn publisher(&mut self) -> Box<dyn EventPublisher> {
        panic!("the theme `copies` needs a publisher");
    }

    /// Has the broker refuse the event of this index for good.
    async fn refuse_copies_of(&mut self, index: Index) {
        panic!("the theme `copies` needs a publisher that can fail for index {index}");
    }

    /// Takes the broker away from the publisher, or gives it back.
    async fn take_publisher_away(&mut self, away: bool) {
        panic!("the theme `publisher` needs a broker that can be away: {away}");
    }
}
