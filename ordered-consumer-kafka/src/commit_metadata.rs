//! Completed offsets as text, for the metadata that a broker keeps beside a committed offset.
//!
//! The text is `oc1:` and, in URL-safe base64 without padding,
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | a checksum of all the rest and of the committed offset, to which everything is relative |
//! | 1 | flags: 1 for a bitmap (else run lengths), 2 when the topic's fingerprint follows |
//! | 4 | if so: a fingerprint of what tells the topic from another one of its name |
//! | … | run lengths: how many are not done, how many are, and so on, each as a variable-length number, beginning with the committed offset; or a bitmap, which begins with the offset after it |
//!
//! whichever of the two covers more, and then the shorter one. What does not fit into the limit is cut off at an offset:
//! it comes again, which is safe, as [`offset_tracker`](crate::offset_tracker) tells; the beginning could not be left out.
//! What cannot be read is never wrong and never in the way: it is as if it were absent.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::completed_offsets::CompletedOffsets;

/// Brokers refuse more, unless `offset.metadata.max.bytes` says otherwise.
pub(crate) const METADATA_BYTES_MAX: usize = 4_096;

const PREFIX: &str = "oc1:";
const CHECKSUM_BYTES: usize = 4;
const FINGERPRINT_BYTES: usize = 4;
const BITMAP: u8 = 1;
const FINGERPRINTED: u8 = 2;

/// Why a commit's metadata tells nothing, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ignored {
    /// There is none, as after an offset reset.
    #[error("there is none")]
    Absent,
    /// Another program wrote it.
    #[error("it was not written by this library")]
    Foreign,
    /// A later version wrote it.
    #[error("it was written by another version of this library")]
    OtherVersion,
    /// It was changed, or belongs to another offset.
    #[error("it is damaged, or belongs to another offset")]
    Damaged,
    /// The topic was deleted and created again.
    #[error("it belongs to another topic of the same name")]
    OtherTopic,
}

/// What is done beyond the committed offset, as text of at most `bytes_max`; empty when there is nothing to tell, or no
/// room.
pub(crate) fn encode(
    committed: i64,
    completed: &CompletedOffsets,
    identity: Option<&[u8]>,
    bytes_max: usize,
) -> String {
    let mut head = identity.map(fingerprint).map_or_else(Vec::new, Vec::from);
    let flags = if identity.is_some() { FINGERPRINTED } else { 0 };
    let digits = bytes_max.saturating_sub(PREFIX.len());
    // Four digits carry three bytes; two digits more carry one, three carry two.
    let bytes = digits / 4 * 3 + (digits % 4).saturating_sub(1);
    let room = bytes.saturating_sub(CHECKSUM_BYTES + 1 + head.len());
    let completed = completed.starting_at(committed.saturating_add(1));
    let (runs, bitmap) = (run_lengths(committed, &completed, room), bitmap(committed, &completed, room));
    let (flags, (_, body)) = if (bitmap.0, runs.1.len()) > (runs.0, bitmap.1.len()) {
        (flags | BITMAP, bitmap)
    } else {
        (flags, runs)
    };
    if body.is_empty() {
        return String::new();
    }
    head.insert(0, flags);
    head.extend(body);
    let mut all = checksum(committed, &head).to_vec();
    all.extend(head);
    let mut text = PREFIX.to_owned();
    URL_SAFE_NO_PAD.encode_string(all, &mut text);
    text
}

/// What a commit's metadata says is done beyond the committed offset.
///
/// # Errors
/// Whatever is not exactly what [`encode`] wrote for this offset, and for this topic as far as its identity is known then
/// and now, tells nothing.
pub(crate) fn decode(
    text: &str,
    committed: i64,
    identity: Option<&[u8]>,
) -> Result<CompletedOffsets, Ignored> {
    if text.is_empty() {
        return Err(Ignored::Absent);
    }
    let Some(digits) = text.strip_prefix(PREFIX) else {
        let version =
            text.strip_prefix("oc").and_then(|rest| rest.split_once(':')).map(|(version, _)| version);
        let is_ours = version.is_some_and(|version| version.parse::<u32>().is_ok());
        return Err(if is_ours { Ignored::OtherVersion } else { Ignored::Foreign });
    };
    let all = URL_SAFE_NO_PAD.decode(digits).map_err(|_| Ignored::Damaged)?;
    let (sum, rest) = all.split_first_chunk::<CHECKSUM_BYTES>().ok_or(Ignored::Damaged)?;
    if *sum != checksum(committed, rest) {
        return Err(Ignored::Damaged);
    }
    let (flags, mut body) = rest.split_first().ok_or(Ignored::Damaged)?;
    if flags & !(BITMAP | FINGERPRINTED) != 0 {
        return Err(Ignored::OtherVersion);
    }
    if flags & FINGERPRINTED != 0 {
        let (written, rest) = body.split_first_chunk::<FINGERPRINT_BYTES>().ok_or(Ignored::Damaged)?;
        if identity.is_some_and(|identity| fingerprint(identity) != *written) {
            return Err(Ignored::OtherTopic);
        }
        body = rest;
    }
    let read = if flags & BITMAP == 0 { from_run_lengths } else { from_bitmap };
    read(committed, body).ok_or(Ignored::Damaged)
}

fn low_half(hash: u64) -> [u8; 4] {
    let [.., a, b, c, d] = hash.to_be_bytes();
    [a, b, c, d]
}

fn fingerprint(identity: &[u8]) -> [u8; FINGERPRINT_BYTES] {
    low_half(xxh3_64(identity))
}

fn checksum(committed: i64, rest: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = Xxh3::new();
    hasher.update(&committed.to_be_bytes());
    hasher.update(rest);
    low_half(hasher.digest())
}

/// The longest prefix that fits, and the offset at which it ends.
fn run_lengths(committed: i64, completed: &CompletedOffsets, room: usize) -> (i64, Vec<u8>) {
    let (mut bytes, mut at) = (Vec::new(), committed);
    for (start, end) in completed.runs() {
        let before = bytes.len();
        put(&mut bytes, start.abs_diff(at));
        let left = room.saturating_sub(bytes.len());
        if left == 0 {
            bytes.truncate(before);
            break;
        }
        // A run that does not fit is told in part: seven bits of its length fit into a byte.
        let bits = u32::try_from(left.saturating_mul(7)).unwrap_or(u32::MAX);
        let most = 1_u64.checked_shl(bits).map_or(u64::MAX, |beyond| beyond - 1);
        let told = end.abs_diff(*start).min(most);
        put(&mut bytes, told);
        at = start.saturating_add_unsigned(told);
        if at < *end {
            break;
        }
    }
    (at, bytes)
}

fn from_run_lengths(committed: i64, mut bytes: &[u8]) -> Option<CompletedOffsets> {
    let (mut completed, mut at) = (CompletedOffsets::default(), committed);
    while !bytes.is_empty() {
        let start = at.checked_add_unsigned(take(&mut bytes)?)?;
        let end = start.checked_add_unsigned(take(&mut bytes)?)?;
        if start == at || start == end {
            return None;
        }
        completed.push(start, end);
        at = end;
    }
    Some(completed)
}

/// As [`run_lengths`], one bit for each offset after the committed one, the lowest bit of a byte first.
fn bitmap(committed: i64, completed: &CompletedOffsets, room: usize) -> (i64, Vec<u8>) {
    let first = committed.saturating_add(1);
    let bits = i64::try_from(room.saturating_mul(8)).unwrap_or(i64::MAX);
    let covered = completed.ending_at(first.saturating_add(bits));
    let mut bytes = Vec::new();
    for offset in covered.runs().iter().flat_map(|(start, end)| *start..*end) {
        let bit = usize::try_from(offset.abs_diff(first)).unwrap_or(usize::MAX);
        if bytes.len() <= bit / 8 {
            bytes.resize(bit / 8 + 1, 0_u8);
        }
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte |= 1 << (bit % 8);
        }
    }
    (covered.end().unwrap_or(committed), bytes)
}

fn from_bitmap(committed: i64, bytes: &[u8]) -> Option<CompletedOffsets> {
    let mut completed = CompletedOffsets::default();
    let mut offset = committed;
    for byte in bytes {
        for bit in 0..8 {
            // Past the highest offset there are only padding bits.
            offset = offset.saturating_add(1);
            if byte & (1 << bit) != 0 {
                completed.push(offset, offset.checked_add(1)?);
            }
        }
    }
    Some(completed)
}

/// Seven bits to a byte, the lowest first; the eighth says that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7F);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0_u32);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7F);
        let shifted = part.checked_shl(shift)?;
        if shifted >> shift != part {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
#[path = "commit_metadata/tests.rs"]
mod tests;
