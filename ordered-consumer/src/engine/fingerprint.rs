//! Fingerprints of entities: what caches and turns are keyed by.

use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

/// 128 keyed bits of a stream and an entity. Two entities share one with a chance of 1 in 10^20 among a billion, and
/// nobody outside can choose keys that do; if they did, they would merely wait for each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of an entity of the stream that this one stands for.
    pub(crate) fn entity(self, key: &FingerprintKey, entity: &[u8]) -> Self {
        let mut hasher = key.0;
        hasher.write_u128(self.0);
        hasher.write(entity);
        Self(hasher.finish128().as_u128())
    }

    /// Which of `n` parts it belongs to.
    pub(crate) fn part(self, n: usize) -> usize {
        usize::try_from((self.0 >> 64) % (n.max(1) as u128)).unwrap_or(0)
    }
}

/// The process's own key.
#[derive(Clone, Copy)]
pub(crate) struct FingerprintKey(SipHasher13);

impl FingerprintKey {
    pub(crate) fn new(random: u128) -> Self {
        Self(SipHasher13::new_with_key(&random.to_le_bytes()))
    }

    /// The fingerprint of a stream, by its name.
    pub(crate) fn stream(&self, name: &str) -> Fingerprint {
        let mut hasher = self.0;
        hasher.write(name.as_bytes());
        Fingerprint(hasher.finish128().as_u128())
    }
}

/// For keys that nobody outside can choose: a fingerprint is a hash already, and an assignment's slot is a small number
/// that counts up.
#[derive(Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, slot: u64) {
        // Spread over the high bits, too, of which tables take their tags.
        self.0 = slot.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = u64::try_from(fingerprint & u128::from(u64::MAX)).unwrap_or(0);
    }
}

pub(crate) type BuildIdentity = BuildHasherDefault<Identity>;
