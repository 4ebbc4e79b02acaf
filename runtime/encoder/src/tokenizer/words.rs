//! Words for tests that compare a model with the tokenizers library's.

/// Numbers that look random, the same each time.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    /// Of less than `end` pieces.
    pub(super) fn word(&mut self, pieces: &[&str], end: usize) -> String {
        let length = self.below(end);
        (0..length)
            .map(|_| pieces[self.below(pieces.len())])
            .collect()
    }
}
