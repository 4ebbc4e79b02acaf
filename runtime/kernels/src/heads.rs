//! Where a tensor has the vectors of attention heads: strides, so that nothing is
//! transposed or copied to read them.

use crate::gemm::Rows;
use crate::shape::{ShapeError, ensure};
use std::ops::Range;

/// Where the vector of each token in each head is: `width` values from
/// `offset + head · head_stride + token · token_stride` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadStrides {
    /// How many heads there are.
    pub heads: usize,
    /// How many tokens there are.
    pub tokens: usize,
    /// How many values a token has in a head.
    pub width: usize,
    /// Where the first one begins.
    pub offset: usize,
    /// From a head to the next.
    pub head_stride: usize,
    /// From a token to the next.
    pub token_stride: usize,
}

impl HeadStrides {
    /// Where the vector of a token in a head begins.
    #[inline(always)]
    pub(crate) fn start(&self, head: usize, token: usize) -> usize {
        self.offset + head * self.head_stride + token * self.token_stride
    }

    /// Refuses slices in which not all vectors are.
    pub(crate) fn check(&self, kernel: &'static str, length: usize) -> Result<(), ShapeError> {
        if [self.heads, self.tokens, self.width].contains(&0) {
            return Ok(());
        }
        let heads = (self.heads - 1).checked_mul(self.head_stride);
        let tokens = (self.tokens - 1).checked_mul(self.token_stride);
        let end = heads
            .zip(tokens)
            .and_then(|(heads, tokens)| heads.checked_add(tokens))
            .and_then(|last| last.checked_add(self.offset)?.checked_add(self.width));
        ensure(end.is_some_and(|end| end <= length), kernel, || {
            format!("{self:?} in {length} values")
        })
    }
}

/// The vectors of heads in a tensor.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'a> {
    values: &'a [f32],
    strides: HeadStrides,
}

impl<'a> HeadView<'a> {
    /// A tensor's values by strides.
    ///
    /// # Errors
    ///
    /// If some of them are not in `values`.
    pub fn new(values: &'a [f32], strides: HeadStrides) -> Result<Self, ShapeError> {
        strides.check("heads", values.len())?;
        Ok(Self { values, strides })
    }

    /// Heads, tokens, and values of each.
    pub fn shape(&self) -> [usize; 3] {
        let HeadStrides {
            heads,
            tokens,
            width,
            ..
        } = self.strides;
        [heads, tokens, width]
    }

    pub(crate) fn some_rows(&self, head: usize, tokens: Range<usize>) -> Rows<'a> {
        let start = self.strides.start(head, tokens.start);
        Rows {
            values: &self.values[start.min(self.values.len())..],
            stride: self.strides.token_stride,
            width: self.strides.width,
            count: tokens.len(),
        }
    }

    #[inline(always)]
    pub(crate) fn row(&self, head: usize, token: usize) -> &'a [f32] {
        &self.values[self.strides.start(head, token)..][..self.strides.width]
    }
}
