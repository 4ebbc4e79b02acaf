//! Which axes of a tensor are heads, tokens and values, so that slices, transposes, squeezes
//! and unsqueezes before an operator need not be computed.

use encoderfile_kernels::HeadStrides;
use tract_core::internal::*;
use tract_core::ops::array::Slice;

/// Which axes of a tensor are what. A head's values are its last one, and every
/// further one has a length of one, or one place that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadLayout {
    pub(crate) rank: usize,
    pub(crate) tokens: usize,
    pub(crate) heads: usize,
    /// A further axis, and the place in it.
    part: Option<(usize, usize)>,
}

impl HeadLayout {
    pub(crate) fn new(rank: usize, tokens: usize, heads: usize) -> Self {
        Self {
            rank,
            tokens,
            heads,
            part: None,
        }
    }

    /// The shape of a tensor that has nothing but these.
    pub(crate) fn shape<D: Clone>(self, one: D, tokens: D, heads: D, width: D) -> TVec<D> {
        let mut shape: TVec<D> = tvec!(one; self.rank);
        shape[self.tokens] = tokens;
        shape[self.heads] = heads;
        shape[self.rank - 1] = width;
        shape
    }

    /// Where the vectors of heads are in a tensor of this shape.
    pub(crate) fn strides(self, shape: &[usize]) -> HeadStrides {
        let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
        HeadStrides {
            heads: shape[self.heads],
            tokens: shape[self.tokens],
            width: shape[self.rank - 1],
            offset: self.part.map_or(0, |(axis, start)| start * stride(axis)),
            head_stride: stride(self.heads),
            token_stride: stride(self.tokens),
        }
    }

    /// The same values in the tensor that an outlet is a part of, or has the axes of
    /// in another order.
    pub(crate) fn before_views(
        self,
        model: &TypedModel,
        outlet: OutletId,
    ) -> TractResult<(OutletId, Self)> {
        let (mut outlet, mut layout) = (outlet, self);
        while let Some(before) = layout.before(model.node(outlet.node)) {
            outlet = model.node(outlet.node).inputs[0];
            layout = before;
            let rank = model.outlet_fact(outlet)?.rank();
            ensure!(layout.rank == rank, "{layout:?} of rank {rank}");
        }
        Ok((outlet, layout))
    }

    /// The same values before a node, if it is a slice, a transpose, a squeeze or an unsqueeze.
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
