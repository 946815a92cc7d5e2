//! The record's key is the entity: what is used until the real mapping is merged.

use bytes::{Bytes, BytesMut};
use ordered_consumer::{Event, Index, StreamName};
use rdkafka::{Message, message::BorrowedMessage};

use crate::record_reader::{CopyParts, RecordReader};

#[derive(Debug)]
pub(crate) struct PlainRecords;

impl RecordReader for PlainRecords {
    fn event(&self, record: &BorrowedMessage<'_>, stream: &StreamName) -> Result<Event, String> {
        let key = record.key().ok_or("it has no key, and so no entity")?;
        let index = u64::try_from(record.offset()).map_err(|_| "its offset is negative")?;
        let payload = record.payload();
        // One buffer of the exact size for both: it lives as long as the event, and pins nothing else.
        let mut buffer = BytesMut::with_capacity(key.len() + payload.map_or(0, <[u8]>::len));
        buffer.extend_from_slice(key);
        buffer.extend_from_slice(payload.unwrap_or_default());
        let mut payload_bytes = buffer.freeze();
        let entity = payload_bytes.split_to(key.len());
        let event = Event::builder(stream.clone(), Index::from(index), entity);
        Ok(if payload.is_some() { event.payload(payload_bytes).build() } else { event.build() })
    }

    fn copy(&self, record: &BorrowedMessage<'_>) -> Result<CopyParts, String> {
        // TOPIC/PARTITION index attempts, in the payload.
        let text = std::str::from_utf8(record.payload().unwrap_or_default()).map_err(|_| "not text")?;
        let mut parts = text.split(' ');
        let (stream, index, attempts) = (parts.next(), parts.next(), parts.next());
        Ok(CopyParts {
            stream: stream.and_then(|stream| StreamName::new(stream).ok()).ok_or("no stream")?,
            entity: Bytes::copy_from_slice(record.key().unwrap_or_default()),
            index: index.and_then(|index| index.parse().ok()).ok_or("no index")?,
            attempts: attempts.and_then(|attempts| attempts.parse().ok()).ok_or("no attempts")?,
        })
    }
}
