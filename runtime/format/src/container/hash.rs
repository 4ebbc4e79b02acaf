//! BLAKE3 of a part of a source, on the threads of whoever asks: it is a tree, and
//! they hash subtrees of it.

use super::ContainerError;
use super::reader::for_each_chunk;
use crate::source::Source;
use crate::threads::Threads;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use blake3::{Hash, Hasher};
use std::sync::OnceLock;

/// How much is read at a time.
const CHUNK_LEN: usize = 256 << 10;

/// Less than this is not worth a thread: it takes some ten milliseconds.
const SUBTREE_LEN_MIN: u64 = 16 << 20;

/// The hash of `length` bytes from `offset`.
pub(super) fn hash(
    source: &dyn Source,
    offset: u64,
    length: u64,
    threads: &dyn Threads,
) -> Result<Hash, ContainerError> {
    let input = Input {
        source,
        offset,
        threads,
        subtree_len_min: SUBTREE_LEN_MIN,
    };
    input.hash(length, threads.count())
}

struct Input<'a> {
    source: &'a dyn Source,
    /// Where it begins in the source.
    offset: u64,
    threads: &'a dyn Threads,
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
        let (left, half) = (left_subtree_len(length), threads / 2);
        let (middle, right) = (start.saturating_add(left), length.saturating_sub(left));
        let halves = [
            (start, left, threads.saturating_sub(half)),
            (middle, right, half),
        ];
        let halves = halves.map(|half| (half, OnceLock::new()));
        let hash = |&((start, length, threads), ref value): &(_, OnceLock<_>)| {
            let hash = || self.subtree(start, length, threads);
            value.get_or_init(hash).clone()
        };
        self.threads.each(halves.len(), &|place| {
            let _ = halves.get(place).map(hash);
        });
        let [first, second] = halves.each_ref().map(hash);
        Ok([first?, second?])
    }

    fn is_cut(&self, length: u64, threads: usize) -> bool {
        threads > 1 && length / 2 >= self.subtree_len_min
    }

    fn update(
        &self,
        mut hasher: Hasher,
        start: u64,
        length: u64,
    ) -> Result<Hasher, ContainerError> {
        let mut chunk = vec![0; CHUNK_LEN];
        let offset = self.offset.saturating_add(start);
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

    /// As many as are asked for.
    struct Scoped(usize);

    impl Threads for Scoped {
        fn count(&self) -> usize {
            self.0
        }

        fn each(&self, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
            std::thread::scope(|scope| {
                for piece in 0..pieces {
                    scope.spawn(move || work(piece));
                }
            });
        }
    }

    /// Does nothing at all, which must only cost time.
    struct Idle;

    impl Threads for Idle {
        fn count(&self) -> usize {
            8
        }

        fn each(&self, _pieces: usize, _work: &(dyn Fn(usize) + Sync)) {}
    }

    fn input<'a>(source: &'a Vec<u8>, threads: &'a dyn Threads) -> Input<'a> {
        Input {
            source,
            offset: 5,
            threads,
            subtree_len_min: 2 * blake3::CHUNK_LEN as u64,
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_hash() {
        let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        for length in [0, 1, 4095, 4096, 4097, 8192, 65_537, 400_000, 799_995] {
            let expected = blake3::hash(&bytes[5..5 + length]);
            for threads in 1..=9 {
                let scoped = Scoped(threads);
                let hash = input(&bytes, &scoped).hash(length as u64, threads);
                assert_eq!(hash.unwrap(), expected, "{length} bytes, {threads} threads");
            }
            assert_eq!(
                input(&bytes, &Idle).hash(length as u64, 8).unwrap(),
                expected
            );
        }
        assert!(input(&bytes, &Scoped(4)).hash(799_996, 4).is_err());
    }
}
