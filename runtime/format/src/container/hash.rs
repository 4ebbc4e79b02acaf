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
use std::ops::Range;
use std::sync::OnceLock;

/// How much is read at a time.
const CHUNK_LEN: usize = 256 << 10;

/// The subtrees that threads take, one after another: of fewer bytes they are not worth it, and of
/// more a thread that is last has others wait for it.
const SUBTREE_LEN_MIN: u64 = 8 << 20;

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

/// Of a subtree, once it has been computed.
type Value = OnceLock<Result<ChainingValue, ContainerError>>;

impl Input<'_> {
    fn hash(&self, length: u64, threads: &dyn Threads) -> Result<Hash, ContainerError> {
        if threads.count() == 1 || !self.is_cut(length) {
            return Ok(self.update(Hasher::new(), 0, length)?.finalize());
        }
        let mut subtrees = Vec::new();
        self.cut(0, length, &mut subtrees);
        threads.each(subtrees.len(), &|place| {
            if let Some((part, value)) = subtrees.get(place) {
                value.get_or_init(|| self.subtree(part));
            }
        });
        let mut subtrees = subtrees.iter();
        let left = left_subtree_len(length);
        let right = length.saturating_sub(left);
        let [left, right] = [left, right].map(|length| self.merged(length, &mut subtrees));
        Ok(merge_subtrees_root(&left?, &right?, Mode::Hash))
    }

    /// The subtrees of the `length` bytes from `start` of the input on, in order.
    fn cut(&self, start: u64, length: u64, subtrees: &mut Vec<(Range<u64>, Value)>) {
        if !self.is_cut(length) {
            let part = start..start.saturating_add(length);
            return subtrees.push((part, Value::new()));
        }
        // Where a tree is cut is not ours to say.
        let left = left_subtree_len(length);
        self.cut(start, left, subtrees);
        let right = (start.saturating_add(left), length.saturating_sub(left));
        self.cut(right.0, right.1, subtrees);
    }

    fn is_cut(&self, length: u64) -> bool {
        length / 2 >= self.subtree_len_min
    }

    /// What the next of `subtrees`, which are of `length` bytes in all, are together.
    fn merged(
        &self,
        length: u64,
        subtrees: &mut std::slice::Iter<'_, (Range<u64>, Value)>,
    ) -> Result<ChainingValue, ContainerError> {
        if !self.is_cut(length) {
            let whole = (0..length, Value::new());
            let (part, value) = subtrees.next().unwrap_or(&whole);
            return value.get_or_init(|| self.subtree(part)).clone();
        }
        let left = left_subtree_len(length);
        let right = length.saturating_sub(left);
        let [left, right] = [left, right].map(|length| self.merged(length, subtrees));
        Ok(merge_subtrees_non_root(&left?, &right?, Mode::Hash))
    }

    fn subtree(&self, part: &Range<u64>) -> Result<ChainingValue, ContainerError> {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(part.start);
        let length = part.end.saturating_sub(part.start);
        Ok(self.update(hasher, part.start, length)?.finalize_non_root())
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

    fn input(source: &Vec<u8>) -> Input<'_> {
        Input {
            source,
            offset: 5,
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
                let hash = input(&bytes).hash(length as u64, &scoped);
                assert_eq!(hash.unwrap(), expected, "{length} bytes, {threads} threads");
            }
            let hash = input(&bytes).hash(length as u64, &Idle);
            assert_eq!(hash.unwrap(), expected, "{length} bytes");
        }
        assert!(input(&bytes).hash(799_996, &Scoped(4)).is_err());
    }
}
