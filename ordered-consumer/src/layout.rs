//! Layouts: the streams among which a broker spreads a topic's entities.

use crate::{NameError, StreamName};

/// The set of streams among which a broker spreads the entities of a topic, as one of its streams sees it.
///
/// The streams of the layout `orders` are called `orders/0`, `orders/1` and so on. When there are more of them than
/// before, an entity's next events may come in another stream than its earlier ones, and so the new streams wait: see
/// [`StreamsAdded`].
///
/// # What an adapter must give
/// * `name`: the topic's, the same in every process of the consumer, and so that the stream's own name is
///   `NAME/NUMBER`.
/// * `streams`: how many there are **as the broker says when it confirms**, not as a cache had it some time ago. Fewer
///   than there are delay nothing and admit nothing; a number that never was would be waited for.
/// * [`Confirmation::identity`](crate::Confirmation::identity): the topic's id, where the client tells. A layout of
///   another identity begins anew, with all streams that there are.
/// * [`EventSource::last_indexes`](crate::EventSource::last_indexes): how far its streams reach.
/// * [`SourceMessage::Settled`](crate::SourceMessage::Settled) up to the last index there is, once everything of a
///   stream is done, also where the last entries are none that it delivers.
///
/// A source whose broker never adds streams to a topic gives no layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The topic's name.
    pub name: StreamName,
    /// Which of its streams this is, counted from 0.
    pub number: u32,
    /// How many there are.
    pub streams: u32,
}

impl Layout {
    /// The name of the layout's stream of this number.
    ///
    /// # Errors
    /// [`NameError::TooLong`] where the layout's name leaves no room for the number.
    pub fn stream(&self, number: u32) -> Result<StreamName, NameError> {
        StreamName::new(format!("{}/{number}", self.name))
    }

    /// The name of the layout to which a stream of this name belongs, if it belongs to one.
    pub(crate) fn name_of(stream: &StreamName) -> Option<StreamName> {
        let (name, number) = stream.as_str().rsplit_once('/')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        StreamName::new(name).ok().filter(|_| is_number)
    }
}

/// What becomes of streams that are added to a topic which is consumed already (Kafka: partitions).
///
/// The broker then sends some entities to another stream than before. While an earlier event of such an entity is in its
/// old stream, not handled or not resolved, a later one in the new stream would overtake it.
///
/// # What waiting cannot do
/// * An entity that moves from one **old** stream to another is not covered: both are consumed. With Kafka's way to
///   choose a partition that happens unless the new count is a multiple of the old one: **double it**.
/// * A producer that has not noticed the change yet goes on sending to old streams.
///   [`Timeouts::producers_notice`](crate::Timeouts::producers_notice) is the time that producers are given.
/// * Changes that no process sees one by one (two within seconds, or while none runs) count as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamsAdded {
    /// The new streams wait, paused and reported by
    /// [`waiting_streams`](crate::OrderedConsumer::waiting_streams), until every old one has settled everything that it
    /// held, and nothing of that is unresolved in the failure log. An old stream that has stopped, or an entity that is
    /// parked there, keeps them waiting until an operator acts.
    #[default]
    Wait,
    /// They are consumed at once, those of all processes of this consumer that wait already, too: events of an entity
    /// that has moved may overtake its earlier ones.
    Continue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_name_tells_its_layout_and_that_of_one_set_apart_does_not() {
        let of = |name| Layout::name_of(&StreamName::new(name).unwrap());
        assert_eq!(of("eu/orders/12").unwrap().as_str(), "eu/orders");
        for name in ["orders", "orders/0~3", "orders/", "/1", "orders/1a"] {
            assert_eq!(of(name), None, "{name}");
        }
        let layout = Layout { name: StreamName::new("orders").unwrap(), number: 3, streams: 4 };
        assert_eq!(layout.stream(12).unwrap().as_str(), "orders/12");
    }
}
