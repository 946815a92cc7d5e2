use std::time::{Duration, UNIX_EPOCH};

use ordered_consumer::{Event, HEADERS_MAX};
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage, Timestamp};

use super::*;

fn record(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> OwnedMessage {
    record_in(0, key, value, headers)
}

fn record_in(
    partition: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> OwnedMessage {
    let insert =
        |all: OwnedHeaders, (key, value): &(&str, Option<&[u8]>)| all.insert(Header { key, value: *value });
    let headers = headers.iter().fold(OwnedHeaders::new(), insert);
    let time = Timestamp::CreateTime(1_700_000_000_123);
    let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
    OwnedMessage::new(value, key, "orders".into(), time, partition, 42, Some(headers))
}

fn shown(error: RecordError) -> String {
    error.to_string()
}

fn first_byte() -> EntityKey {
    EntityKey::function(|record| {
        let key = record.key().ok_or("no key")?;
        Ok(Bytes::copy_from_slice(&key[..1]))
    })
}

#[test]
fn everything_that_a_record_carries_is_in_its_event() {
    let headers: &[(&str, Option<&[u8]>)] =
        &[("a", Some(b"\0\xff")), ("b", None), ("a", Some(b"")), ("", Some(b"2"))];
    let event =
        RecordMapping::default().event_from(&record(Some(b"\0\xffkey"), Some(b"\xfe"), headers)).unwrap();
    assert_eq!((event.stream().as_str(), event.index()), ("orders/0", Index::new(42)));
    assert_eq!(event.entity().as_ref(), b"\0\xffkey");
    assert_eq!(event.payload().unwrap().as_ref(), b"\xfe");
    assert_eq!(event.time(), Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)));
    let came: Vec<_> = event
        .headers()
        .iter()
        .map(|(name, value)| (str::from_utf8(name).unwrap(), value.map(AsRef::as_ref)))
        .collect();
    assert_eq!(came, headers);
    assert_eq!((event.id(), event.event_type()), (None, None));
}

#[test]
fn a_null_value_is_no_payload_and_an_empty_one_is_empty() {
    let event = |value| RecordMapping::default().event_from(&record(Some(b"k"), value, &[])).unwrap();
    assert_eq!(event(None).payload(), None);
    assert_eq!(event(Some(b"")).payload(), Some(&Bytes::new()));
}

#[test]
fn a_key_at_the_limit_is_an_entity_and_one_byte_more_is_refused() {
    let event = |bytes| RecordMapping::default().event_from(&record(Some(&vec![7; bytes]), None, &[]));
    assert_eq!(event(ENTITY_BYTES_MAX).unwrap().entity().len(), ENTITY_BYTES_MAX);
    let error = event(ENTITY_BYTES_MAX + 1).unwrap_err();
    assert!(matches!(error, RecordError::EntityTooLong { bytes: 1_025, .. }), "{error}");
    assert!(matches!(event(0).unwrap_err(), RecordError::EmptyEntity { .. }));
}

#[test]
fn a_record_without_a_key_is_refused_unless_it_is_declared_unordered() {
    let keyless = record(None, Some(b"v"), &[]);
    assert!(matches!(RecordMapping::default().event_from(&keyless), Err(RecordError::Keyless)));
    let unordered = RecordMapping::default().keyless(Keyless::Unordered);
    let event = unordered.event_from(&keyless).unwrap();
    assert_eq!(event.entity().as_ref(), b"\0ordered-consumer/keyless/42");
    assert_eq!(unordered.event_from(&record(Some(b"k"), None, &[])).unwrap().entity().as_ref(), b"k");
}

#[test]
fn a_function_says_the_entity_and_the_key_is_kept_in_a_header() {
    let mapping = RecordMapping::default().entity(first_byte());
    let event = mapping.event_from(&record(Some(b"xyz"), None, &[(headers::KEY, Some(b"old"))])).unwrap();
    assert_eq!(event.entity().as_ref(), b"x");
    assert_eq!(event.headers().get(headers::KEY).unwrap().as_ref(), b"xyz");
    assert_eq!(event.headers().len(), 1, "the old one is not kept");
    let same = mapping.event_from(&record(Some(b"x"), None, &[])).unwrap();
    assert_eq!(same.headers().len(), 0, "the entity is the key");
}

#[test]
fn a_function_that_fails_panics_or_returns_no_entity_is_an_error() {
    let with = |entity: EntityKey| {
        let mapping = RecordMapping::default().entity(entity);
        mapping.event_from(&record(Some(b"k"), None, &[])).unwrap_err()
    };
    let failed = with(EntityKey::function(|_| Err("it has no customer".into())));
    assert_eq!(std::error::Error::source(&failed).unwrap().to_string(), "it has no customer");
    let panicked = with(EntityKey::function(|record| Ok(vec![record.key().unwrap()[99]].into())));
    assert!(matches!(panicked, RecordError::EntityFunctionPanicked));
    assert!(matches!(with(EntityKey::function(|_| Ok(Bytes::new()))), RecordError::EmptyEntity { .. }));
    let long = with(EntityKey::function(|_| Ok(vec![0; 2_000].into())));
    assert!(matches!(long, RecordError::EntityTooLong { bytes: 2_000, .. }));
}

#[test]
fn an_entity_that_is_coarser_than_the_key_is_refused_where_it_is_seen() {
    let mapping = RecordMapping::default().entity(first_byte());
    mapping.event_from(&record_in(0, Some(b"c1"), None, &[])).unwrap();
    mapping.event_from(&record_in(0, Some(b"c2"), None, &[])).unwrap();
    let error = mapping.event_from(&record_in(1, Some(b"c3"), None, &[])).unwrap_err();
    assert!(matches!(error, RecordError::EntitySpansPartitions { here: 1, there: 0, .. }), "{error}");
    let finer = RecordMapping::default().entity(EntityKey::function(|record| {
        Ok(Bytes::copy_from_slice(record.payload().unwrap_or_default()))
    }));
    for (partition, key, entity) in [(0, b"c1", b"o1"), (0, b"c1", b"o2"), (1, b"c2", b"o3")] {
        finer.event_from(&record_in(partition, Some(key), Some(entity), &[])).unwrap();
    }
}

#[test]
fn a_cloud_event_in_binary_mode_has_its_id_and_type() {
    let attributes: &[(&str, Option<&[u8]>)] = &[
        ("ce_specversion", Some(b"1.0")),
        ("ce_id", Some(b"7")),
        ("ce_type", Some(b"order.paid")),
        ("ce_partitionkey", Some(b"customer-1")),
    ];
    let cloud = record(Some(b"k"), None, attributes);
    let event = RecordMapping::default().event_from(&cloud).unwrap();
    assert_eq!((event.id().unwrap().as_ref(), event.entity().as_ref()), (&b"7"[..], &b"k"[..]));
    assert_eq!(event.event_type().unwrap().as_ref(), b"order.paid");
    assert_eq!(event.headers().len(), 4, "they stay headers too");
    let not_understood = RecordMapping::default().cloud_events(false).event_from(&cloud).unwrap();
    assert_eq!(not_understood.id(), None);
    let no_cloud_event = record(Some(b"k"), None, &attributes[1..]);
    assert_eq!(RecordMapping::default().event_from(&no_cloud_event).unwrap().id(), None);
}

#[test]
fn the_partition_key_of_a_cloud_event_is_its_entity_where_asked() {
    let mapping = RecordMapping::default().entity(EntityKey::CloudEventsPartitionKey);
    let event =
        mapping.event_from(&record(Some(b"k"), None, &[("ce_partitionkey", Some(b"customer-1"))])).unwrap();
    assert_eq!(event.entity().as_ref(), b"customer-1");
    assert_eq!(event.headers().get(headers::KEY).unwrap().as_ref(), b"k");
    let without = record(Some(b"k"), None, &[]);
    assert!(matches!(mapping.event_from(&without), Err(RecordError::NoPartitionKey)));
    let unordered = mapping.keyless(Keyless::Unordered).event_from(&without).unwrap();
    assert!(unordered.entity().starts_with(KEYLESS_PREFIX));
}

#[test]
fn no_error_shows_a_key_or_a_payload() {
    let long = vec![b's'; 2_000];
    let errors = [
        RecordMapping::default().event_from(&record(Some(&long), Some(b"secret"), &[])).unwrap_err(),
        RecordMapping::default().event_from(&record(None, Some(b"secret"), &[])).unwrap_err(),
    ];
    for text in errors.map(shown) {
        assert!(!text.contains("secret") && !text.contains("sss"), "{text}");
    }
    let shown = format!("{:?}", Record::new(&record(Some(b"secret"), Some(b"secret"), &[])).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn an_offset_that_no_record_has_is_an_error() {
    let message = OwnedMessage::new(None, Some(vec![1]), "t".into(), Timestamp::NotAvailable, 0, -1001, None);
    assert!(matches!(RecordMapping::default().event_from(&message), Err(RecordError::Place { .. })));
    let last = OwnedMessage::new(None, Some(vec![1]), "t".into(), Timestamp::NotAvailable, 0, i64::MAX, None);
    let event: Event = RecordMapping::default().event_from(&last).unwrap();
    assert_eq!((event.index().get(), event.time()), (u128::from(u64::MAX) >> 1, None));
}

#[test]
fn a_topic_whose_name_is_at_kafkas_limit_is_a_stream() {
    assert_eq!(stream_name(&"t".repeat(249), 99_999).unwrap().as_str().len(), 255);
    let many = (0..HEADERS_MAX).map(|_| ("h", None)).collect::<Vec<(&str, Option<&[u8]>)>>();
    assert_eq!(
        RecordMapping::default().event_from(&record(Some(b"k"), None, &many)).unwrap().headers().len(),
        HEADERS_MAX
    );
}
