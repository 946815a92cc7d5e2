//! CloudEvents in Kafka's binary mode: attributes as headers `ce_…`, the data as the value.

use bytes::Bytes;

use crate::Record;

/// The attribute that every CloudEvent has, and by which it is known.
const SPEC_VERSION: &str = "ce_specversion";

/// What an event takes from the attributes.
pub(crate) struct Attributes {
    pub(crate) id: Option<Bytes>,
    pub(crate) event_type: Option<Bytes>,
}

/// The record's attributes; none when it is no CloudEvent, whatever headers of such names it has.
pub(crate) fn attributes(record: &Record<'_>) -> Option<Attributes> {
    record.header(SPEC_VERSION)?;
    let attribute = |name| record.header(name).map(Bytes::copy_from_slice);
    Some(Attributes { id: attribute("ce_id"), event_type: attribute("ce_type") })
}

/// The extension attribute that says what belongs together.
pub(crate) fn partition_key<'r>(record: &Record<'r>) -> Option<&'r [u8]> {
    record.header("ce_partitionkey")
}
