//! A message as it came, by a receive or in a Lambda event.

use std::fmt;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use bytes::Bytes;

/// A message as it came from its queue, for functions that look into it.
///
/// [`Debug`](fmt::Debug) shows how large it is, and nothing that is in it.
#[derive(Clone, Default)]
pub struct IncomingMessage {
    pub(crate) group: Option<String>,
    pub(crate) sequence: Option<String>,
    pub(crate) deduplication: Option<String>,
    pub(crate) receives: u32,
    /// Milliseconds since 1970.
    pub(crate) sent: Option<u64>,
    pub(crate) body: Option<Bytes>,
    /// By name.
    pub(crate) attributes: Vec<(String, Attribute)>,
}

/// A message attribute.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// `String`, `Number` or `Binary`, perhaps with a label of its own: `Number.int`.
    pub(crate) data_type: String,
    pub(crate) value: Bytes,
}

impl IncomingMessage {
    /// The message group's id.
    #[must_use]
    pub fn group_id(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// The deduplication id.
    #[must_use]
    pub fn deduplication_id(&self) -> Option<&str> {
        self.deduplication.as_deref()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// The value of the attribute of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        self.named(name).map(|attribute| attribute.value.as_ref())
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(named, _)| named == name).map(|(_, attribute)| attribute)
    }

    /// Takes a received message apart; gives its receipt handle, too.
    pub(crate) fn received(message: Message) -> (String, Self) {
        let system = message.attributes.unwrap_or_default();
        let text = |name: System| system.get(&name).cloned();
        let mut attributes: Vec<_> = message
            .message_attributes
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| {
                let bytes = match (value.string_value, value.binary_value) {
                    (Some(text), _) => Bytes::from(text),
                    (None, Some(blob)) => Bytes::from(blob.into_inner()),
                    (None, None) => Bytes::new(),
                };
                (name, Attribute { data_type: value.data_type, value: bytes })
            })
            .collect();
        attributes.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        let incoming = Self {
            group: text(System::MessageGroupId),
            sequence: text(System::SequenceNumber),
            deduplication: text(System::MessageDeduplicationId),
            receives: number(text(System::ApproximateReceiveCount)).unwrap_or(1),
            sent: number(text(System::SentTimestamp)),
            body: message.body.map(Bytes::from),
            attributes,
        };
        (message.receipt_handle.unwrap_or_default(), incoming)
    }
}

pub(crate) fn number<N: std::str::FromStr>(text: Option<String>) -> Option<N> {
    text.and_then(|text| text.parse().ok())
}

impl fmt::Debug for IncomingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of {} bytes with {} attributes", self.body().len(), self.attributes.len())
    }
}
