use ordered_consumer::{Index, ReleasedEvent, StreamName};
use proptest::{collection::vec, option, prelude::*};
use rdkafka::message::{Headers as _, OwnedMessage, Timestamp};

use super::*;
use crate::{DecodeError, DecodedCopy, decode_copy};

fn released(stream: &str, index: u128, entity: &[u8]) -> ReleasedEvent {
    let stream = StreamName::new(stream).unwrap();
    let event = Event::builder(stream, Index::new(index), Bytes::copy_from_slice(entity)).build();
    ReleasedEvent { event, attempts: 3 }
}

fn with_headers(stream: &str, headers: &[(&[u8], Option<&[u8]>)]) -> ReleasedEvent {
    let mut all = ordered_consumer::Headers::default();
    for (name, value) in headers {
        all.push(Bytes::copy_from_slice(name), value.map(Bytes::copy_from_slice));
    }
    let event = Event::builder(StreamName::new(stream).unwrap(), Index::MIN, "e").headers(all).build();
    ReleasedEvent { event, attempts: 1 }
}

fn head(released: &ReleasedEvent, dlt_group: Option<&str>) -> CopyHead {
    copy_head(&released.event, released.attempts, dlt_group)
}

fn copy(released: &ReleasedEvent) -> OwnedMessage {
    let head = self::head(released, None);
    let headers = head.headers.to_owned_headers().unwrap();
    let key = head.key.map(|key| key.to_vec());
    OwnedMessage::new(None, key, "g.retry".into(), Timestamp::NotAvailable, 0, 0, Some(headers))
}

fn names_and_values(released: &ReleasedEvent, dlt: Option<&str>) -> Vec<(String, Option<Vec<u8>>)> {
    let headers = head(released, dlt).headers.to_owned_headers().unwrap();
    headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
}

proptest! {
    #[test]
    fn whatever_the_event_carries_its_copy_points_to_it(
        topic in "[a-zA-Z0-9._-]{1,100}",
        partition in 0..i32::MAX,
        index: u128,
        attempts: u32,
        entity in vec(any::<u8>(), 1..200),
        key in option::of(vec(any::<u8>(), 0..50)),
        names in vec(("[^\0]{0,20}", option::of(vec(any::<u8>(), 0..50))), 0..8),
    ) {
        let mut headers = ordered_consumer::Headers::default();
        for (name, value) in &names {
            headers.push(Bytes::from(name.clone()), value.clone().map(Bytes::from));
        }
        if let Some(key) = key.clone() {
            headers.push(Bytes::from_static(KEY.as_bytes()), Some(Bytes::from(key)));
        }
        let stream = StreamName::new(format!("{topic}/{partition}")).unwrap();
        let entity = Bytes::from(entity);
        let event = Event::builder(stream.clone(), Index::new(index), entity.clone()).headers(headers).build();
        let released = ReleasedEvent { event, attempts };
        let decoded = decode_copy(&copy(&released)).unwrap();
        prop_assert_eq!(decoded, DecodedCopy { stream, entity, index: Index::new(index), attempts });
        let came = names_and_values(&released, None);
        let kept: Vec<_> = names.into_iter().filter(|(name, _)| !name.starts_with(PREFIX)).collect();
        prop_assert_eq!(&came[..kept.len()], &kept[..], "the original's come first, in order");
    }

    #[test]
    fn whatever_is_in_the_retry_topic_decoding_says_what_is_wrong(
        key in option::of(vec(any::<u8>(), 0..30)),
        values in vec((0..6_usize, vec(any::<u8>(), 0..12)), 0..8),
    ) {
        let names = [TOPIC, PARTITION, OFFSET, STREAM, ATTEMPTS, ENTITY];
        let headers = values.iter().fold(OwnedHeaders::new(), |all, (name, value)| {
            all.insert(Header { key: names[*name], value: Some(value) })
        });
        let message = OwnedMessage::new(None, key, "r".into(), Timestamp::NotAvailable, 0, 0, Some(headers));
        if let Err(error) = decode_copy(&message) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn a_stream_under_another_name_comes_back_whole() {
    for stream in
        ["orders/0 until 2026", "orders", "/1", "orders/007", "orders/-1", "a/b/3", "orders/4294967296"]
    {
        let decoded = decode_copy(&copy(&released(stream, u128::MAX, b"e"))).unwrap();
        assert_eq!((decoded.stream.as_str(), decoded.index), (stream, Index::MAX));
    }
}

#[test]
fn our_headers_do_not_pile_up_when_a_copy_is_published_again() {
    let once = with_headers("t/0", &[(b"mine", Some(b"1")), (b"mine", None)]);
    let first = names_and_values(&once, None);
    let again: Vec<(&[u8], Option<&[u8]>)> =
        first.iter().map(|(name, value)| (name.as_bytes(), value.as_deref())).collect();
    let second = names_and_values(&with_headers("other/5", &again), None);
    assert_eq!(second.len(), first.len());
    assert_eq!(second[2], (TOPIC.to_owned(), Some(b"other".to_vec())));
}

#[test]
fn the_key_is_the_originals_and_the_entity_beside_it_only_where_they_differ() {
    let entity_is_key = head(&released("t/0", 1, b"e"), None);
    assert_eq!(entity_is_key.key.as_deref(), Some(&b"e"[..]));
    assert!(!names_and_values(&released("t/0", 1, b"e"), None).iter().any(|(name, _)| name == ENTITY));
    let other = with_headers("t/0", &[(KEY.as_bytes(), Some(b"key"))]);
    assert_eq!(head(&other, None).key.as_deref(), Some(&b"key"[..]));
    assert_eq!(decode_copy(&copy(&other)).unwrap().entity.as_ref(), b"e");
    let keyless = released("t/0", 1, &[KEYLESS_PREFIX, b"1"].concat());
    assert_eq!(head(&keyless, None).key, None);
    assert!(decode_copy(&copy(&keyless)).unwrap().entity.starts_with(KEYLESS_PREFIX));
}

#[test]
fn the_other_form_is_what_springs_tools_read() {
    let stream = StreamName::new("orders/258").unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_700_000_000_123);
    let event = Event::builder(stream, Index::new(0x0102_0304_0506), "e").time(time).build();
    let came = names_and_values(&ReleasedEvent { event, attempts: 1 }, Some("billing"));
    let of = |name: &str| came.iter().find(|(of, _)| of == name).unwrap().1.clone().unwrap();
    assert_eq!(of("kafka_dlt-original-topic"), b"orders");
    assert_eq!(of("kafka_dlt-original-partition"), [0, 0, 1, 2]);
    assert_eq!(of("kafka_dlt-original-offset"), [0, 0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(of("kafka_dlt-original-timestamp"), 1_700_000_000_123_i64.to_be_bytes());
    assert_eq!(of("kafka_dlt-original-consumer-group"), b"billing");
    let beyond = names_and_values(&released("t/0", u128::MAX, b"e"), Some("g"));
    assert!(
        !beyond.iter().any(|(name, _)| name == "kafka_dlt-original-offset"),
        "it has no place for 128 bits"
    );
}

#[test]
fn a_header_without_a_name_of_text_cannot_be_sent() {
    for name in [&b"\xff"[..], b"a\0b"] {
        let head = self::head(&with_headers("t/0", &[(name, None)]), None);
        assert_eq!(head.headers.to_owned_headers().err(), Some(HeaderNameError));
    }
}

#[test]
fn a_foreign_record_in_the_retry_topic_is_told_from_a_copy() {
    let message = |headers: &[(&str, &[u8])], key: Option<&[u8]>| {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
        let key = key.map(<[u8]>::to_vec);
        OwnedMessage::new(None, key, "r".into(), Timestamp::NotAvailable, 0, 0, Some(headers))
    };
    let refused = |headers: &[(&str, &[u8])], key| decode_copy(&message(headers, key)).unwrap_err();
    let whole: [(&str, &[u8]); 4] = [(TOPIC, b"t"), (PARTITION, b"0"), (OFFSET, b"1"), (ATTEMPTS, b"2")];
    assert!(decode_copy(&message(&whole, Some(b"k"))).is_ok());
    assert!(matches!(refused(&[], Some(b"k")), DecodeError::Missing { name: TOPIC }));
    assert!(matches!(refused(&whole[..2], Some(b"k")), DecodeError::Missing { name: OFFSET }));
    assert!(matches!(refused(&whole[..3], Some(b"k")), DecodeError::Missing { name: ATTEMPTS }));
    assert!(matches!(refused(&whole, None), DecodeError::Entity));
    assert!(matches!(refused(&whole, Some(&[1; 1_025])), DecodeError::Entity));
    for (at, value) in [(0, &b"\xff"[..]), (1, b"-1"), (1, b"x"), (2, b"1.5"), (3, b"4294967296")] {
        let mut wrong = whole;
        wrong[at].1 = value;
        assert!(matches!(refused(&wrong, Some(b"k")), DecodeError::Invalid { .. }), "{at}");
    }
    let mut no_stream = whole;
    no_stream[0].1 = b"a\nb";
    assert!(matches!(refused(&no_stream, Some(b"k")), DecodeError::Stream(_)));
}
