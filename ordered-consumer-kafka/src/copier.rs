//! Copying small pieces out of the client's memory.

use bytes::{Bytes, BytesMut};

/// Small pieces are put into chunks of so many bytes.
const CHUNK_BYTES: usize = 4_096;
/// A larger piece gets memory of its own.
const PIECE_BYTES_MAX: usize = 512;

/// Copies pieces of records. Events are made in one thread and dropped in others, which makes an allocation of their own
/// for each key and payload the most expensive part of reading: so small pieces share one. The price is that whoever
/// keeps an event keeps the chunks that its pieces are in, which is why chunks are small.
#[derive(Debug, Default)]
pub(crate) struct Copier {
    chunk: Option<BytesMut>,
}

impl Copier {
    /// One whose pieces share chunks.
    pub(crate) fn with_chunks() -> Self {
        Self { chunk: Some(BytesMut::new()) }
    }

    pub(crate) fn copy(&mut self, piece: &[u8]) -> Bytes {
        match &mut self.chunk {
            Some(chunk) if (1..=PIECE_BYTES_MAX).contains(&piece.len()) => {
                if chunk.capacity() < piece.len() {
                    *chunk = BytesMut::with_capacity(CHUNK_BYTES);
                }
                chunk.extend_from_slice(piece);
                chunk.split().freeze()
            }
            _ => Bytes::copy_from_slice(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_piece_is_what_it_was_whatever_shares_its_chunk(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2_000), 0..60),
        ) {
            let (mut together, mut alone) = (Copier::with_chunks(), Copier::default());
            let copied: Vec<Bytes> = pieces.iter().map(|piece| together.copy(piece)).collect();
            prop_assert!(pieces.iter().zip(&copied).all(|(piece, copy)| piece == copy));
            prop_assert!(pieces.iter().all(|piece| alone.copy(piece) == piece));
        }
    }

    #[test]
    fn small_pieces_share_a_chunk_and_large_ones_do_not() {
        let mut copier = Copier::with_chunks();
        let small: Vec<Bytes> = (0..8).map(|_| copier.copy(&[7; PIECE_BYTES_MAX])).collect();
        // Side by side, until the chunk is full.
        let follows = |pair: &[Bytes]| pair[0].as_ptr_range().end == pair[1].as_ptr_range().start;
        assert!(small.windows(2).all(follows));
        let (large, next) = (copier.copy(&[7; PIECE_BYTES_MAX + 1]), copier.copy(&[7]));
        assert!(large.is_unique() && !next.is_unique());
    }
}
