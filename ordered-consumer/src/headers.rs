//! An event's headers.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An event's headers: names and values of any bytes, in order and with repeats. A value may be null.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers(Vec<(Vec8, Option<Vec8>)>);

/// Bytes that serialise as one byte string.
#[derive(Clone, PartialEq, Eq)]
struct Vec8(Bytes);

impl Serialize for Vec8 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Vec8 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Vec8;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec8, E> {
                Ok(Vec8(Bytes::copy_from_slice(bytes)))
            }
            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Vec8, E> {
                Ok(Vec8(Bytes::from(bytes)))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

impl Headers {
    /// Adds one after those there are.
    pub fn push(&mut self, name: Bytes, value: Option<Bytes>) {
        self.0.push((Vec8(name), value.map(Vec8)));
    }

    /// The last value under this name; none if there is no such header or its value is null.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&Bytes> {
        let named = self.0.iter().rev().find(|(n, _)| n.0 == name.as_ref());
        named.and_then(|(_, value)| value.as_ref()).map(|value| &value.0)
    }

    /// Every header in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        self.0.iter().map(|(name, value)| (&name.0, value.as_ref().map(|v| &v.0)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of all names and values.
    #[must_use]
    pub fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.map_or(0, Bytes::len)).sum()
    }
}

impl<N: Into<Bytes>, V: Into<Bytes>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(n, v)| (Vec8(n.into()), Some(Vec8(v.into())))).collect())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} headers of {} bytes", self.len(), self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_repeats_nulls_and_any_bytes_survive_encoding() {
        let mut headers = Headers::default();
        headers.push(Bytes::from_static(b"a\0\xff"), Some(Bytes::from_static(b"\xff\0")));
        headers.push(Bytes::from_static(b"a\0\xff"), None);
        headers.push(Bytes::new(), Some(Bytes::new()));
        let encoded = postcard::to_stdvec(&headers).unwrap();
        assert_eq!(postcard::from_bytes::<Headers>(&encoded).unwrap(), headers);
        assert_eq!(headers.get(""), Some(&Bytes::new()));
        assert_eq!(headers.get(b"a\0\xff"), None, "the last one counts, and it is null");
    }
}
