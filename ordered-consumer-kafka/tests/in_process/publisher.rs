//! What sends copies, one after the other, for rules that are about the source.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use ordered_consumer::{EventPublisher, Index, PublishError, Published, ReleasedEvent};
use ordered_consumer_kafka::headers;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};

#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) producer: FutureProducer,
    pub(crate) refused: Arc<Mutex<BTreeSet<Index>>>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a publisher")
    }
}

#[async_trait]
impl EventPublisher for Publisher {
    fn describe(&self) -> String {
        "the retry topic".to_owned()
    }

    async fn publish(&self, events: &[ReleasedEvent]) -> Published {
        for (count, released) in events.iter().enumerate() {
            let event = &released.event;
            if self.refused.lock().expect("no panic").contains(&event.index()) {
                return Published { count, failed: Some(PublishError::Refused("refused".into())) };
            }
            let (index, attempts) = (event.index().to_string(), released.attempts.to_string());
            let headers = OwnedHeaders::new()
                .insert(Header { key: headers::STREAM, value: Some(event.stream().as_str()) })
                .insert(Header { key: headers::OFFSET, value: Some(&index) })
                .insert(Header { key: headers::ATTEMPTS, value: Some(&attempts) });
            let key: &[u8] = event.entity();
            let record = FutureRecord::to("t-retry").partition(0).key(key).payload("p").headers(headers);
            self.producer.send(record, Duration::from_secs(10)).await.expect("it is published");
        }
        Published { count: events.len(), failed: None }
    }
}
