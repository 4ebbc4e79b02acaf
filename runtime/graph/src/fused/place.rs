//! Where in a tensor the values of heads are.
//!
//! **Invariant:** what reads by a [`Place`] copies nothing to have heads in order.

use super::product::Rows;
use std::ops::Range;
use tract_hir::internal::*;
use tract_hir::tract_core::ops::array::Slice;

/// Which axes of a tensor are what. A head's values are its last one, and every
/// further one has a length of one, or one place that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) rank: usize,
    pub(super) tokens: usize,
    pub(super) heads: usize,
    /// A further axis, and the place in it.
    part: Option<(usize, usize)>,
}

impl Place {
    pub(super) fn new(rank: usize, tokens: usize, heads: usize) -> Self {
        Self {
            rank,
            tokens,
            heads,
            part: None,
        }
    }

    /// The shape of a tensor that has nothing but these.
    pub(super) fn shape<D: Clone>(self, one: D, tokens: D, heads: D, width: D) -> TVec<D> {
        let mut shape: TVec<D> = tvec!(one; self.rank);
        shape[self.tokens] = tokens;
        shape[self.heads] = heads;
        shape[self.rank - 1] = width;
        shape
    }

    /// The same values in the tensor that an outlet is a part of, or has the axes of
    /// in another order.
    #[cold]
    pub(super) fn of_whole(
        self,
        model: &TypedModel,
        outlet: OutletId,
    ) -> TractResult<(OutletId, Self)> {
        let (mut outlet, mut place) = (outlet, self);
        while let Some(before) = place.before(model.node(outlet.node)) {
            outlet = model.node(outlet.node).inputs[0];
            place = before;
            let rank = model.outlet_fact(outlet)?.rank();
            ensure!(place.rank == rank, "{place:?} of rank {rank}");
        }
        Ok((outlet, place))
    }

    /// The same values before a node, if it does no more than choose or move them.
    #[cold]
    fn before(self, node: &TypedNode) -> Option<Self> {
        if let Some(slice) = node.op_as::<Slice>() {
            let is_further = ![self.tokens, self.heads, self.rank - 1].contains(&slice.axis);
            let start = slice.start.to_usize().ok();
            let start = start.filter(|_| is_further && self.part.is_none())?;
            return Some(Self {
                part: Some((slice.axis, start)),
                ..self
            });
        }
        let (change, rank) = match node.op_as::<AxisOp>()? {
            op @ AxisOp::Add(_) => (op.recip(), self.rank - 1),
            op @ AxisOp::Rm(_) => (op.recip(), self.rank + 1),
            op @ AxisOp::Move(..) => (op.recip(), self.rank),
            AxisOp::Reshape(..) => return None,
        };
        let part = match self.part {
            Some((axis, start)) => Some((change.transform_axis(axis)?, start)),
            None => None,
        };
        let is_last = change.transform_axis(self.rank - 1)? == rank - 1;
        is_last.then_some(Self {
            rank,
            tokens: change.transform_axis(self.tokens)?,
            heads: change.transform_axis(self.heads)?,
            part,
        })
    }
}

/// A tensor's values, and where those of a head are.
pub(super) struct Placed<T> {
    pub(super) values: T,
    pub(super) count: usize,
    pub(super) tokens: usize,
    pub(super) width: usize,
    start: usize,
    pub(super) head_stride: usize,
    pub(super) token_stride: usize,
}

impl<T> Placed<T> {
    pub(super) fn new(values: T, shape: &[usize], place: Place) -> Self {
        let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
        Self {
            values,
            count: shape[place.heads],
            tokens: shape[place.tokens],
            width: shape[place.rank - 1],
            start: place.part.map_or(0, |(axis, start)| start * stride(axis)),
            head_stride: stride(place.heads),
            token_stride: stride(place.tokens),
        }
    }

    /// Where the values begin that a token has in a head.
    pub(super) fn row_start(&self, head: usize, token: usize) -> usize {
        self.start + head * self.head_stride + token * self.token_stride
    }
}

impl<'a> Placed<&'a [f32]> {
    pub(super) fn rows(&self, head: usize) -> Rows<'a> {
        self.some_rows(head, 0..self.tokens)
    }

    pub(super) fn some_rows(&self, head: usize, tokens: Range<usize>) -> Rows<'a> {
        Rows {
            values: &self.values[self.row_start(head, tokens.start)..],
            stride: self.token_stride,
            width: self.width,
            count: tokens.len(),
        }
    }

    pub(super) fn row(&self, head: usize, token: usize) -> &'a [f32] {
        &self.values[self.row_start(head, token)..][..self.width]
    }
}
