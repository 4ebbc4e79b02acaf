//! BLAKE3 of a part of a source, by several threads: it is a tree, and they hash
//! subtrees of it.

use super::ContainerError;
use super::reader::for_each_chunk;
use crate::source::Source;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use blake3::{Hash, Hasher};

/// How much is read at a time.
const CHUNK_LEN: usize = 256 << 10;

/// Less than this is not worth a thread: it takes some ten milliseconds.
const SUBTREE_LEN_MIN: u64 = 16 << 20;

/// The hash of `length` bytes from `offset`.
pub(super) fn hash(source: &dyn Source, offset: u64, length: u64) -> Result<Hash, ContainerError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let input = Input {
        source,
        offset,
        subtree_len_min: SUBTREE_LEN_MIN,
    };
    input.hash(length, threads)
}

struct Input<'a> {
    source: &'a dyn Source,
    /// Where it begins in the source.
    offset: u64,
    subtree_len_min: u64,
}

impl Input<'_> {
    fn hash(&self, length: u64, threads: usize) -> Result<Hash, ContainerError> {
        if !self.is_cut(length, threads) {
            return Ok(self.update(Hasher::new(), 0, length)?.finalize());
        }
        let [left, right] = self.halves(0, length, threads)?;
        Ok(merge_subtrees_root(&left, &right, Mode::Hash))
    }

    /// Of the `length` bytes from `start` of the input on.
    fn subtree(
        &self,
        start: u64,
        length: u64,
        threads: usize,
    ) -> Result<ChainingValue, ContainerError> {
        if !self.is_cut(length, threads) {
            let mut hasher = Hasher::new();
            hasher.set_input_offset(start);
            return Ok(self.update(hasher, start, length)?.finalize_non_root());
        }
        let [left, right] = self.halves(start, length, threads)?;
        Ok(merge_subtrees_non_root(&left, &right, Mode::Hash))
    }

    /// Where a tree is cut is not ours to say.
    fn halves(
        &self,
        start: u64,
        length: u64,
        threads: usize,
    ) -> Result<[ChainingValue; 2], ContainerError> {
        let left = left_subtree_len(length);
        std::thread::scope(|scope| {
            let half = threads / 2;
            let first = scope.spawn(move || self.subtree(start, left, threads - half));
            let second = self.subtree(start + left, length - left, half)?;
            match first.join() {
                Ok(first) => Ok([first?, second]),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn is_cut(&self, length: u64, threads: usize) -> bool {
        threads > 1 && length >= 2 * self.subtree_len_min
    }

    fn update(
        &self,
        mut hasher: Hasher,
        start: u64,
        length: u64,
    ) -> Result<Hasher, ContainerError> {
        let mut chunk = vec![0; CHUNK_LEN];
        let offset = self.offset + start;
        for_each_chunk(self.source, offset, length, &mut chunk, |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        Ok(hasher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_threads_gives_the_same_hash() {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let input = Input {
            source: &bytes,
            offset: 5,
            subtree_len_min: 2 * blake3::CHUNK_LEN as u64,
        };
        for length in [0, 1, 4095, 4096, 4097, 8192, 65_537, 400_000, 799_995] {
            let expected = blake3::hash(&bytes[5..5 + length]);
            for threads in 1..=9 {
                let hash = input.hash(length as u64, threads).unwrap();
                assert_eq!(hash, expected, "{length} bytes, {threads} threads");
            }
        }
        assert!(input.hash(799_996, 4).is_err());
    }
}
