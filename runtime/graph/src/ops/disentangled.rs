//! The bias of DeBERTa's disentangled attention: each row times the vectors of the
//! relative positions that its columns take.

use super::Backend;
use super::head_layout::HeadLayout;
use super::weights::LinearWeights;
use encoderfile_kernels as kernels;
use encoderfile_kernels::{HeadView, PositionIndices, Weights};
use tract_core::internal::*;

/// The vectors of all relative positions: `[heads, width, positions]`, stored or packed as one
/// matrix of `[heads · width, positions]`, in float32.
pub(crate) struct PositionTable {
    pub(crate) vectors: LinearWeights,
    pub(crate) heads: usize,
}

/// `scale · rows · table[index]`: rows of `[…, heads, tokens, width]` in any
/// order, and indices of `[…, 1 or heads, tokens, columns]`, give
/// `[…, heads, tokens, columns]`, or with the last two axes transposed.
#[derive(Clone)]
pub(crate) struct DisentangledBias {
    pub(crate) rows: HeadLayout,
    pub(crate) table: Arc<PositionTable>,
    pub(crate) scale: f32,
    pub(crate) transposed: bool,
    pub(crate) backend: Backend,
}

impl PartialEq for DisentangledBias {
    fn eq(&self, other: &Self) -> bool {
        let both = [self, other].map(|it| (it.rows, it.scale.to_bits(), it.transposed));
        Arc::ptr_eq(&self.table, &other.table) && both[0] == both[1]
    }
}

impl Eq for DisentangledBias {}

impl Op for DisentangledBias {
    fn name(&self) -> StaticName {
        "DisentangledBias".into()
    }

    op_as_typed_op!();
}

impl DisentangledBias {
    /// Of `[…, heads, rows, columns]`, from the shape of the indices.
    fn output_shape<D: Clone + From<usize>>(&self, indices: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = indices.iter().cloned().collect();
        let rank = shape.len();
        shape[rank - 3] = D::from(self.table.heads);
        if self.transposed {
            shape.swap(rank - 2, rank - 1);
        }
        shape
    }
}

impl TypedOp for DisentangledBias {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.output_shape(&inputs[1].shape.to_tvec());
        Ok(tvec!(f32::fact(&shape)))
    }

    as_op!();
}

impl EvalOp for DisentangledBias {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (rows, indices) = args_2!(inputs);
        let shape = self.output_shape(indices.shape());
        let values = rows.try_as_plain_ram()?;
        let view = HeadView::new(values.as_slice()?, self.rows.strides(rows.shape()))?;
        let [.., heads, tokens, columns] = *indices.shape() else {
            bail!("indices of shape {:?}", indices.shape())
        };
        let plain = indices.try_as_plain_ram()?;
        let index_shape = [heads, tokens, columns];
        let positions = self.table.vectors.columns();
        let indices = PositionIndices::new(plain.as_slice()?, index_shape, positions)?;
        let Weights::F32(table) = self.table.vectors.as_factor(None)? else {
            bail!("vectors of positions that are not float32");
        };
        let operands = kernels::DisentangledBias {
            rows: view,
            table,
            indices: &indices,
            scale: self.scale,
            transposed: self.transposed,
        };
        let mut output = Tensor::zero::<f32>(&shape)?;
        {
            let Backend { isa, cores, .. } = &self.backend;
            let mut plain = output.try_as_plain_ram_mut()?;
            kernels::disentangled_bias(*isa, &**cores, &operands, plain.as_slice_mut()?)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}
