//! An event's place in its stream, and what tells two events at one place apart.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use xxhash_rust::xxh3::Xxh3;

/// An event's place in its stream: the broker's own number, 128 bits unsigned. Every value is legal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Index(u128);

impl Index {
    /// The lowest index.
    pub const MIN: Self = Self(0);
    /// The highest index.
    pub const MAX: Self = Self(u128::MAX);

    /// The index with this number.
    #[must_use]
    pub const fn new(index: u128) -> Self {
        Self(index)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Sixteen bytes that sort as the numbers do.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The index that [`to_be_bytes`](Self::to_be_bytes) gave these bytes.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The index before this one, if there is one.
    #[must_use]
    pub const fn before(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }
}

/// As text of decimal digits: most readers of JSON take a number of 128 bits for a fraction.
impl Serialize for Index {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl From<u64> for Index {
    fn from(index: u64) -> Self {
        Self(index.into())
    }
}

impl FromStr for Index {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What tells two events at one place apart: a hash of id and payload that is the same in every process and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    pub(crate) fn of(id: Option<&Bytes>, payload: Option<&Bytes>) -> Self {
        let mut hash = Xxh3::new();
        for part in [id, payload] {
            // The length goes in front, so that bytes cannot move between id and payload unseen.
            hash.update(&part.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
            hash.update(part.map_or(&[], |bytes| bytes));
        }
        Self(hash.digest128().to_be_bytes())
    }

    /// The sixteen bytes that a store keeps.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The digest that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_sort_as_numbers_at_every_width() {
        let ordered = [0, 9, 10, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX];
        for pair in ordered.windows(2) {
            assert!(Index::new(pair[0]).to_be_bytes() < Index::new(pair[1]).to_be_bytes());
        }
    }

    #[test]
    fn a_digest_is_the_same_in_every_version_and_sees_where_the_id_ends() {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let digest = |id, payload| Digest::of(Some(&bytes(id)), Some(&bytes(payload)));
        assert_ne!(digest("ab", "c"), digest("a", "bc"));
        assert_eq!(digest("ab", "c").to_bytes()[0..4], digest("ab", "c").to_bytes()[0..4]);
    }
}
