use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const COMMITTED: i64 = 1_000_000;

fn runs(completed: &[(i64, i64)]) -> CompletedOffsets {
    let mut offsets = CompletedOffsets::default();
    completed.iter().for_each(|(start, end)| offsets.push(*start, *end));
    offsets
}

fn set(completed: &CompletedOffsets) -> BTreeSet<i64> {
    completed.runs().iter().flat_map(|(start, end)| *start..*end).collect()
}

fn from_set(offsets: &BTreeSet<i64>) -> CompletedOffsets {
    let mut completed = CompletedOffsets::default();
    offsets.iter().for_each(|offset| completed.push(*offset, *offset + 1));
    completed
}

fn round_trip(completed: &CompletedOffsets) -> CompletedOffsets {
    let text = encode(COMMITTED, completed, Some(b"topic"), METADATA_BYTES_MAX);
    assert!(text.len() <= METADATA_BYTES_MAX && text.is_ascii(), "{} bytes", text.len());
    decode(&text, COMMITTED, Some(b"topic")).unwrap()
}

#[test]
fn a_few_completed_offsets_take_a_few_characters() {
    let completed = runs(&[(COMMITTED + 1, COMMITTED + 500), (COMMITTED + 501, COMMITTED + 502)]);
    let text = encode(COMMITTED, &completed, Some(b"topic"), METADATA_BYTES_MAX);
    assert!(text.starts_with("oc1:") && text.len() < 32, "{text}");
    assert_eq!(decode(&text, COMMITTED, Some(b"topic")), Ok(completed));
}

#[test]
fn nothing_done_is_nothing_written() {
    let encoded = encode(COMMITTED, &runs(&[(3, COMMITTED + 1)]), Some(b"topic"), METADATA_BYTES_MAX);
    assert_eq!((encoded.as_str(), decode("", COMMITTED, None)), ("", Err(Ignored::Absent)));
}

#[test]
fn every_other_offset_of_twenty_four_thousand_fits_into_the_limit_and_what_is_beyond_comes_again() {
    // 3,069 bytes in 4,092 digits, less checksum, flags and fingerprint: a bitmap of 3,060 bytes.
    let covered = 3_060 * 8;
    for beyond in [0, 1, 2, 3, 10_000] {
        let every_other: BTreeSet<i64> =
            (1..=covered + beyond).filter(|bit| bit % 2 == 0).map(|bit| COMMITTED + bit).collect();
        let decoded = set(&round_trip(&from_set(&every_other)));
        let fits: BTreeSet<i64> = every_other.range(..=COMMITTED + covered).copied().collect();
        assert_eq!(decoded, fits);
    }
}

#[test]
fn a_run_that_goes_beyond_the_limit_is_told_in_part() {
    // Eight bytes of limit's room for run lengths: one gap, and a run of which seven bits fit.
    let completed = runs(&[(COMMITTED + 1, COMMITTED + 1_000)]);
    let head = CHECKSUM_BYTES + 1;
    let limit = PREFIX.len() + (head + 2) * 4 / 3 + 1;
    let text = encode(COMMITTED, &completed, None, limit);
    assert!(text.len() <= limit);
    assert_eq!(decode(&text, COMMITTED, None), Ok(runs(&[(COMMITTED + 1, COMMITTED + 128)])));
}

#[test]
fn without_room_nothing_is_written() {
    let completed = runs(&[(COMMITTED + 1, COMMITTED + 1_000)]);
    for limit in 0..16 {
        let text = encode(COMMITTED, &completed, Some(b"topic"), limit);
        assert!(text.is_empty(), "limit {limit}: {text}");
    }
}

#[test]
fn metadata_of_another_offset_or_another_topic_tells_nothing() {
    let completed = runs(&[(COMMITTED + 1, COMMITTED + 2)]);
    let text = encode(COMMITTED, &completed, Some(b"one"), METADATA_BYTES_MAX);
    assert_eq!(decode(&text, COMMITTED - 1, Some(b"one")), Err(Ignored::Damaged));
    assert_eq!(decode(&text, COMMITTED, Some(b"two")), Err(Ignored::OtherTopic));
    assert_eq!(decode(&text, COMMITTED, None), Ok(completed.clone()), "no identity is known now");
    let unknown = encode(COMMITTED, &completed, None, METADATA_BYTES_MAX);
    assert_eq!(decode(&unknown, COMMITTED, Some(b"two")), Ok(completed), "none was known then");
}

#[test]
fn what_others_wrote_tells_nothing_and_says_so() {
    let foreign =
        ["NO_METADATA", "{\"leader\":1}", "rO0ABXNy", "oc", "ocx:AAAA", "\u{1F980}", "oc1", "OC1:AAAA"];
    for text in foreign {
        assert_eq!(decode(text, COMMITTED, None), Err(Ignored::Foreign), "{text}");
    }
    assert_eq!(decode("oc2:whatever", COMMITTED, None), Err(Ignored::OtherVersion));
    for text in ["oc1:", "oc1:AAAA", "oc1:%%%%", "oc1:AAAAAAAAAAAAAA", "oc1:AAAAAAAA=="] {
        assert_eq!(decode(text, COMMITTED, None), Err(Ignored::Damaged), "{text}");
    }
}

#[test]
fn flags_that_are_not_known_are_those_of_another_version() {
    let mut rest = vec![4_u8, 1, 1];
    let mut all = checksum(COMMITTED, &rest).to_vec();
    all.append(&mut rest);
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(all));
    assert_eq!(decode(&text, COMMITTED, None), Err(Ignored::OtherVersion));
}

fn signed(flags: u8, body: &[u8], committed: i64) -> String {
    let mut rest = vec![flags];
    rest.extend(body);
    let mut all = checksum(committed, &rest).to_vec();
    all.append(&mut rest);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(all))
}

#[test]
fn run_lengths_that_nobody_would_write_tell_nothing() {
    let too_long = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 1];
    let bodies: [&[u8]; 6] = [&[0, 1], &[1, 0], &[1], &[1, 0x80], &too_long, &[0xFF; 300]];
    for body in bodies {
        assert_eq!(decode(&signed(0, body, COMMITTED), COMMITTED, None), Err(Ignored::Damaged), "{body:?}");
    }
    let past_the_highest = signed(0, &[1, 1], i64::MAX - 1);
    assert_eq!(decode(&past_the_highest, i64::MAX - 1, None), Err(Ignored::Damaged));
    let past_the_highest = signed(BITMAP, &[1], i64::MAX - 1);
    assert_eq!(decode(&past_the_highest, i64::MAX - 1, None), Err(Ignored::Damaged));
}

/// Runs of any lengths, far beyond what a bitmap could tell too.
fn any_completed() -> impl Strategy<Value = CompletedOffsets> {
    let length = || prop_oneof![4 => 1..4_i64, 2 => 1..300_i64, 1 => 1..1_000_000_000_i64];
    prop::collection::vec((length(), length()), 0..40).prop_map(|lengths| {
        let (mut completed, mut at) = (CompletedOffsets::default(), COMMITTED);
        for (gap, run) in lengths {
            completed.push(at + gap, at + gap + run);
            at += gap + run;
        }
        completed
    })
}

proptest! {
    #[test]
    fn whatever_fits_comes_back(completed in any_completed(), identity in prop::option::of(any::<[u8; 16]>())) {
        let identity = identity.as_ref().map(<[u8; 16]>::as_slice);
        let text = encode(COMMITTED, &completed, identity, METADATA_BYTES_MAX);
        let decoded = decode(&text, COMMITTED, identity);
        if completed.runs().is_empty() {
            prop_assert_eq!(decoded, Err(Ignored::Absent));
        } else {
            prop_assert_eq!(decoded, Ok(completed));
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_off_at_an_offset(completed in any_completed(), limit in 0_usize..200) {
        let text = encode(COMMITTED, &completed, Some(b"topic"), limit);
        prop_assert!(text.len() <= limit);
        let decoded = decode(&text, COMMITTED, Some(b"topic")).unwrap_or_default();
        let end = decoded.end().unwrap_or(COMMITTED);
        prop_assert_eq!(&decoded, &completed.ending_at(end));
        // A longer limit never tells less.
        let longer = encode(COMMITTED, &completed, Some(b"topic"), limit + 1);
        let longer = decode(&longer, COMMITTED, Some(b"topic")).unwrap_or_default();
        prop_assert!(longer.end().unwrap_or(COMMITTED) >= end);
    }

    #[test]
    fn a_bitmap_and_run_lengths_tell_the_same(offsets in prop::collection::btree_set(1..200_i64, 1..100)) {
        let offsets: BTreeSet<i64> = offsets.iter().map(|offset| COMMITTED + offset).collect();
        let completed = from_set(&offsets);
        let (end, lengths) = run_lengths(COMMITTED, &completed, 1_000);
        let (same_end, bits) = bitmap(COMMITTED, &completed, 1_000);
        prop_assert_eq!(end, same_end);
        prop_assert_eq!(set(&from_run_lengths(COMMITTED, &lengths).unwrap()), offsets.clone());
        prop_assert_eq!(set(&from_bitmap(COMMITTED, &bits).unwrap()), offsets);
        let text = encode(COMMITTED, &completed, None, METADATA_BYTES_MAX);
        let shortest = CHECKSUM_BYTES + 1 + lengths.len().min(bits.len());
        prop_assert_eq!(text.len(), PREFIX.len() + (shortest * 4).div_ceil(3), "the shorter one is taken");
    }

    #[test]
    fn a_damaged_text_tells_nothing(completed in any_completed(), place in any::<usize>(), other in any::<char>()) {
        let text = encode(COMMITTED, &completed, Some(b"topic"), METADATA_BYTES_MAX);
        let mut digits: Vec<char> = text.chars().collect();
        if let Some(place) = place.checked_rem(digits.len()) && digits[place] != other {
            digits[place] = other;
            let damaged: String = digits.into_iter().collect();
            prop_assert!(decode(&damaged, COMMITTED, Some(b"topic")).is_err());
        }
    }

    #[test]
    fn any_text_at_all_is_read_without_a_panic(text in ".*", committed in any::<i64>()) {
        prop_assert!(decode(&text, committed, None).is_err());
        let ours = format!("oc1:{text}");
        prop_assert!(decode(&ours, committed, None).is_err());
    }

    #[test]
    fn any_body_with_the_right_checksum_is_read_without_a_panic(
        flags in 0_u8..4,
        body in prop::collection::vec(any::<u8>(), 0..60),
        committed in prop_oneof![Just(0), Just(i64::MAX), Just(i64::MIN), any::<i64>()],
    ) {
        if let Ok(completed) = decode(&signed(flags, &body, committed), committed, None) {
            prop_assert!(completed.runs().iter().all(|(start, end)| committed < *start && start < end));
        }
    }
}
