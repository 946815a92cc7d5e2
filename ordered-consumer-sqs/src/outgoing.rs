//! An event on its way to the retry queue: what it becomes as a message, or why it cannot be one.

use ordered_consumer::ReleasedEvent;

use crate::{
    attributes::{self, ATTRIBUTES_MAX},
    copy_attribute,
    incoming::Attribute,
};

/// What SQS allows in a group's id.
const GROUP_CHARACTERS_MAX: usize = 128;

/// A message that SQS should take.
pub(crate) struct Outgoing {
    pub(crate) group: String,
    pub(crate) body: String,
    pub(crate) attributes: Vec<(String, Attribute)>,
    /// Body and attributes, as they count against the queue's limit.
    pub(crate) bytes: usize,
}

/// Makes the message of an event.
///
/// # Errors
/// Why SQS will never take it, without its key, headers or payload.
pub(crate) fn message(released: &ReleasedEvent, bytes_max: usize) -> Result<Outgoing, String> {
    let event = &released.event;
    let group = group_of(event.entity())?;
    let payload = event.payload().map(AsRef::as_ref).unwrap_or_default();
    let body = match std::str::from_utf8(payload) {
        Ok("") => return Err("its payload is empty, and a body must not be".to_owned()),
        Ok(text) if text.chars().all(attributes::is_allowed) => text.to_owned(),
        Ok(_) => return Err("its payload has characters that a body must not have".to_owned()),
        Err(_) => return Err("its payload is not text, and a body must be".to_owned()),
    };
    let mut with = attributes::from_headers(event.headers())?;
    if with.iter().any(|(name, _)| name == copy_attribute::NAME) {
        return Err(format!("it has a header named `{}`", copy_attribute::NAME));
    }
    with.push((copy_attribute::NAME.to_owned(), copy_attribute::encode(released)?));
    if with.len() > ATTRIBUTES_MAX {
        return Err(format!("it needs {} attributes with ours, {ATTRIBUTES_MAX} are allowed", with.len()));
    }
    let bytes = body.len() + with.iter().map(|(name, a)| attributes::size(name, a)).sum::<usize>();
    if bytes > bytes_max {
        return Err(format!("it has {bytes} bytes with its attributes, the queue allows {bytes_max}"));
    }
    Ok(Outgoing { group, body, attributes: with, bytes })
}

/// The message group of an entity: what stands before the space, if it is finer.
pub(crate) fn group_of(entity: &[u8]) -> Result<String, String> {
    let group = entity.split(|byte| *byte == b' ').next().unwrap_or_default();
    let allowed = group.iter().all(u8::is_ascii_graphic);
    if group.is_empty() || group.len() > GROUP_CHARACTERS_MAX || !allowed {
        return Err("its entity is no message group's id".to_owned());
    }
    // Graphic ASCII characters are text.
    Ok(String::from_utf8_lossy(group).into_owned())
}

#[cfg(test)]
mod tests {
    use ordered_consumer::{Event, EventBuilder, Index, StreamName};

    use super::*;

    const MAX: usize = 262_144;

    fn made(
        entity: &str,
        change: impl FnOnce(EventBuilder) -> EventBuilder,
        max: usize,
    ) -> Result<Outgoing, String> {
        let stream = StreamName::new("orders.fifo").unwrap();
        let event = Event::builder(stream, Index::new(7), entity.to_owned()).payload("p");
        message(&ReleasedEvent { event: change(event).build(), attempts: 1 }, max)
    }

    #[test]
    fn ten_attributes_with_ours_go_out_and_eleven_do_not() {
        let with = |count: usize| {
            made("g", |event| (0..count).fold(event, |event, n| event.header(format!("h{n}"), "v")), MAX)
        };
        assert_eq!(with(9).unwrap().attributes.len(), 10);
        assert!(with(10).is_err_and(|why| why.contains("11 attributes")));
    }

    #[test]
    fn a_message_of_just_the_limit_goes_out_and_one_byte_more_does_not() {
        let bytes = made("g", |event| event.header("h", "v"), MAX).map(|message| message.bytes).unwrap();
        let with =
            |rest: usize, max| made("g", |event| event.header("h", "v").payload("p".repeat(rest + 1)), max);
        assert_eq!(with(MAX - bytes, MAX).map(|message| message.bytes), Ok(MAX));
        assert!(with(MAX - bytes + 1, MAX).is_err_and(|why| why.contains("262145 bytes")));
        assert!(with(MAX - bytes + 1, 1_048_576).is_ok(), "a queue with a higher limit takes it");
    }

    #[test]
    fn the_group_is_the_entitys_own_also_where_the_entity_is_finer() {
        let group = |entity: &str| made(entity, |event| event, MAX).map(|message| message.group);
        assert_eq!(group("order-1").as_deref(), Ok("order-1"));
        assert_eq!(group("order-1 line 7").as_deref(), Ok("order-1"));
        assert_eq!(group(&"g".repeat(128)).map(|group| group.len()), Ok(128));
        for entity in ["", " x", "é", "a\0b", &"g".repeat(129)] {
            assert!(group(entity).is_err(), "{entity:?}");
        }
    }

    #[test]
    fn a_payload_that_no_body_can_be_is_refused() {
        for payload in [&b""[..], b"\0", b"\x1b[2J", b"\xff", "\u{ffff}".as_bytes()] {
            let made = made("g", |event| event.payload(payload.to_vec()), MAX);
            assert!(made.is_err(), "{payload:?}");
        }
        assert!(made("g", |event| event.payload("tab\t, lines\r\n, é and \u{1f600}"), MAX).is_ok());
    }

    #[test]
    fn a_header_with_the_name_of_our_attribute_is_refused() {
        assert!(made("g", |event| event.header(copy_attribute::NAME, "x"), MAX).is_err());
    }
}
