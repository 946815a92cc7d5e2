//! The one attribute that a copy on the retry queue carries of ours.

use bytes::Bytes;
use ordered_consumer::{Index, ReleasedEvent, StreamName};
use serde::{Deserialize, Serialize};

use crate::{IncomingMessage, deduplication::is_made_for, incoming::Attribute, outgoing::group_of};

/// The attribute's name.
pub(crate) const NAME: &str = "ordered-consumer";
const VERSION: u32 = 1;

/// What it says. Nothing of it is believed but for finding the event in the failure log.
#[derive(Serialize, Deserialize)]
struct Wire {
    v: u32,
    stream: String,
    /// Decimal digits: most readers of JSON take a number of 128 bits for a fraction.
    index: Index,
    attempts: u32,
    /// The entity, if it is text,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    entity: Option<String>,
    /// or its bytes in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    entity_hex: Option<String>,
}

/// Which event a copy is of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) stream: StreamName,
    pub(crate) entity: Bytes,
    pub(crate) index: Index,
    pub(crate) attempts: u32,
}

impl From<&ReleasedEvent> for Copied {
    fn from(released: &ReleasedEvent) -> Self {
        let (event, attempts) = (&released.event, released.attempts);
        let (stream, entity) = (event.stream().clone(), event.entity().clone());
        Self { stream, entity, index: event.index(), attempts }
    }
}

/// Which event the message is a copy of, if one of our publishers has sent it to a queue with one of these ARNs.
///
/// The attribute alone does not make it one: whoever forwards what was on a retry queue with all its attributes forwards
/// ours, too, and a copy that the failure log knows nothing of is deleted. Which stream it names does not matter: the relay
/// brings back the events of all of its consumer's queues, and of streams that were set apart.
pub(crate) fn copied<'q>(
    message: &IncomingMessage,
    queues: impl IntoIterator<Item = &'q str>,
) -> Option<Copied> {
    let copied = decode(message.named(NAME)?)?;
    let (group, id) = (message.group_id()?, message.deduplication_id()?);
    let is_of_the_group = group_of(&copied.entity).is_ok_and(|of_the_entity| of_the_entity == group);
    let is_ours = is_of_the_group && queues.into_iter().any(|queue| is_made_for(id, queue, &copied));
    is_ours.then_some(copied)
}

pub(crate) fn encode(released: &ReleasedEvent) -> Result<Attribute, String> {
    let event = &released.event;
    let text = std::str::from_utf8(event.entity()).ok();
    let wire = Wire {
        v: VERSION,
        stream: event.stream().as_str().to_owned(),
        index: event.index(),
        attempts: released.attempts,
        entity: text.map(str::to_owned),
        entity_hex: text.is_none().then(|| hex(event.entity())),
    };
    let json = serde_json::to_string(&wire).map_err(|error| error.to_string())?;
    // JSON escapes control characters; two others that text may have are not allowed in an attribute.
    let json = json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    Ok(Attribute { data_type: "String".to_owned(), value: Bytes::from(json) })
}

/// What the attribute says, if it can be read.
fn decode(attribute: &Attribute) -> Option<Copied> {
    let wire: Wire = serde_json::from_slice(&attribute.value).ok()?;
    if wire.v != VERSION {
        return None;
    }
    let entity = match (wire.entity, wire.entity_hex) {
        (Some(text), None) => Bytes::from(text),
        (None, Some(digits)) => Bytes::from(unhex(&digits)?),
        (None, None) | (Some(_), Some(_)) => return None,
    };
    if entity.is_empty() || entity.len() > ordered_consumer::ENTITY_BYTES_MAX {
        return None;
    }
    let stream = StreamName::new(wire.stream).ok()?;
    Some(Copied { stream, entity, index: wire.index, attempts: wire.attempts })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use ordered_consumer::Event;

    use super::*;
    use crate::{attributes::is_allowed, deduplication::DeduplicationIds};

    const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo";
    const RETRY: &str = "arn:aws:sqs:eu-west-1:123456789012:orders-retry.fifo";

    /// A copy as it comes from the retry queue.
    fn copy(entity: &str) -> IncomingMessage {
        let stream = StreamName::new("orders.fifo").unwrap();
        let event = Event::builder(stream, Index::new(7), entity.to_owned()).build();
        let released = ReleasedEvent { event, attempts: 2 };
        IncomingMessage {
            group: Some(group_of(entity.as_bytes()).unwrap()),
            deduplication: Some(DeduplicationIds::new(RETRY.to_owned()).unwrap().next(&released)),
            attributes: vec![(NAME.to_owned(), encode(&released).unwrap())],
            ..IncomingMessage::default()
        }
    }

    #[test]
    fn a_copy_is_known_on_each_queue_that_it_may_have_been_sent_to_also_of_a_finer_entity() {
        for entity in ["order-1", "order-1 line 7"] {
            let copied = copied(&copy(entity), [QUEUE, RETRY]).unwrap();
            assert_eq!((copied.entity.as_ref(), copied.attempts), (entity.as_bytes(), 2));
        }
    }

    #[test]
    fn what_somebody_else_has_sent_with_our_attribute_is_no_copy() {
        let is_none = |message: IncomingMessage| copied(&message, [QUEUE, RETRY]).is_none();
        assert!(!is_none(copy("order-1")));
        let forwarded = Some("of-whoever-forwarded-it".to_owned());
        assert!(is_none(IncomingMessage { deduplication: forwarded, ..copy("order-1") }));
        assert!(is_none(IncomingMessage { deduplication: None, ..copy("order-1") }));
        assert!(is_none(IncomingMessage { group: Some("order-2".to_owned()), ..copy("order-1") }));
        assert!(is_none(IncomingMessage { group: None, ..copy("order-1") }));
        assert!(is_none(IncomingMessage { attributes: Vec::new(), ..copy("order-1") }));
        assert!(is_none(IncomingMessage { attributes: copy("order-2").attributes, ..copy("order-1") }));
        assert!(copied(&copy("order-1"), [QUEUE]).is_none(), "it was sent to another queue, whole as it is");
    }

    #[test]
    fn a_copy_says_which_event_it_is_of_whatever_its_entity() {
        for entity in [&b"order-1"[..], b"\0\x01", b"\xff\xfe", "\u{ffff}\u{fffe}é".as_bytes(), b"\"\\"] {
            let event =
                Event::builder(StreamName::new("orders.fifo").unwrap(), Index::MAX, entity.to_vec()).build();
            let attribute = encode(&ReleasedEvent { event: event.clone(), attempts: 7 }).unwrap();
            let text = std::str::from_utf8(&attribute.value).unwrap();
            assert!(text.chars().all(is_allowed), "{text}");
            let copied = decode(&attribute).unwrap();
            assert_eq!(copied.entity, event.entity());
            assert_eq!(
                (copied.stream, copied.index, copied.attempts),
                (event.stream().clone(), Index::MAX, 7)
            );
        }
    }

    #[test]
    fn what_is_not_ours_is_no_copy() {
        let no = |text: &'static str| {
            decode(&Attribute { data_type: "String".to_owned(), value: Bytes::from(text) }).is_none()
        };
        let whole = r#"{"v":1,"stream":"s","index":"3","attempts":1,"entity":"e"}"#;
        assert!(!no(whole));
        assert!(no(""));
        assert!(no("7"));
        assert!(no(r#"{"v":2,"stream":"s","index":"3","attempts":1,"entity":"e"}"#));
        assert!(no(r#"{"v":1,"stream":"","index":"3","attempts":1,"entity":"e"}"#));
        assert!(no(r#"{"v":1,"stream":"s","index":"-3","attempts":1,"entity":"e"}"#));
        assert!(no(r#"{"v":1,"stream":"s","index":"3","attempts":1}"#));
        assert!(no(r#"{"v":1,"stream":"s","index":"3","attempts":1,"entity_hex":"abc"}"#));
        assert!(no(r#"{"v":1,"stream":"s","index":"3","attempts":1,"entity_hex":"zz"}"#));
        assert!(no(r#"{"v":1,"stream":"s","index":"3","attempts":1,"entity":""}"#));
    }
}
