//! A record, as an entity function sees it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rdkafka::message::{Headers, Message};

use crate::RecordError;

/// A record, borrowed from the client: what an entity function sees of it.
///
/// [`Debug`](fmt::Debug) shows where the record is, and nothing of what it carries.
#[derive(Clone)]
pub struct Record<'r> {
    topic: &'r str,
    partition: i32,
    offset: i64,
    key: Option<&'r [u8]>,
    payload: Option<&'r [u8]>,
    time_millis: Option<i64>,
    headers: Vec<BorrowedHeader<'r>>,
}

type BorrowedHeader<'r> = (&'r str, Option<&'r [u8]>);

impl<'r> Record<'r> {
    /// Borrows a record of any of rdkafka's kinds.
    ///
    /// # Errors
    /// [`RecordError::HeaderName`]: its headers cannot be read.
    pub fn new<M: Message>(message: &'r M) -> Result<Self, RecordError> {
        Self::of_topic(message.topic(), message)
    }

    /// The same, of a topic whose name need not be asked for again.
    pub(crate) fn of_topic<M: Message>(topic: &'r str, message: &'r M) -> Result<Self, RecordError> {
        Ok(Self {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            key: message.key(),
            payload: message.payload(),
            time_millis: message.timestamp().to_millis(),
            headers: message.headers().map_or_else(|| Ok(Vec::new()), read_headers)?,
        })
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &'r str {
        self.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The offset in the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The key; none when it is null.
    #[must_use]
    pub fn key(&self) -> Option<&'r [u8]> {
        self.key
    }

    /// The value; none when it is null.
    #[must_use]
    pub fn payload(&self) -> Option<&'r [u8]> {
        self.payload
    }

    /// The last header of this name; none if there is none or its value is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'r [u8]> {
        self.headers.iter().rev().find(|(of, _)| *of == name).and_then(|(_, value)| *value)
    }

    /// Every header in order, with repeats and null values.
    pub fn headers(&self) -> impl Iterator<Item = (&'r str, Option<&'r [u8]>)> + '_ {
        self.headers.iter().copied()
    }

    /// The record's timestamp: its producer's, or the broker's where the topic says so.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        let millis = self.time_millis?;
        let span = Duration::from_millis(millis.unsigned_abs());
        if millis < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) }
    }
}

/// rdkafka panics over a name that is not UTF-8, in the thread that polls; here the record is refused instead.
fn read_headers<H: Headers>(headers: &H) -> Result<Vec<BorrowedHeader<'_>>, RecordError> {
    let read = || headers.iter().map(|header| (header.key, header.value)).collect();
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| RecordError::HeaderName)
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Header;

    use super::*;

    struct NotText;

    impl Headers for NotText {
        fn count(&self) -> usize {
            1
        }

        fn try_get(&self, _: usize) -> Option<Header<'_, &[u8]>> {
            panic!("as rdkafka does for a name that is not UTF-8");
        }

        fn try_get_as<V>(&self, _: usize) -> Option<Result<Header<'_, &V>, V::Error>>
        where
            V: rdkafka::message::FromBytes + ?Sized,
        {
            None
        }
    }

    #[test]
    fn a_header_that_rdkafka_panics_over_is_an_error() {
        assert!(matches!(read_headers(&NotText), Err(RecordError::HeaderName)));
    }
}
