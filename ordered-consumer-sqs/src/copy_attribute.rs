//! The one attribute that a copy on the retry queue carries of ours.

use bytes::Bytes;
use ordered_consumer::{Index, ReleasedEvent, StreamName};
use serde::{Deserialize, Serialize};

use crate::incoming::Attribute;

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

/// What the attribute says, if it can be read; else it is no copy of ours.
pub(crate) fn decode(attribute: &Attribute) -> Option<Copied> {
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
    use crate::attributes::is_allowed;

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
