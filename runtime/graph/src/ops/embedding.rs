//! Embedding lookup: a `Gather` whose table stays in the payload.
//!
//! A token embedding is half of a small encoder's weights, and a text touches a
//! few hundred rows of it. Reading just those keeps the table out of memory and
//! out of start-up.

use encoderfile_format::weights::Matrix;
use std::sync::Arc;
use tract_core::internal::*;
use tract_core::ops::cast::cast;

/// Rows of a matrix by index: `[…]` → `[…, columns]`.
#[derive(Clone)]
pub(crate) struct EmbeddingLookup {
    pub(crate) table: Arc<Matrix>,
}

impl PartialEq for EmbeddingLookup {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
    }
}

impl Eq for EmbeddingLookup {}

impl Op for EmbeddingLookup {
    fn name(&self) -> StaticName {
        "EmbeddingLookup".into()
    }

    op_as_typed_op!();
}

impl EvalOp for EmbeddingLookup {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let indices = args_1!(inputs);
        let width = self.table.columns();
        let mut shape: TVec<usize> = indices.shape().into();
        shape.push(width);
        let mut output = Tensor::zero::<f32>(&shape)?;
        let indices = indices.try_as_plain_ram()?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let rows = plain.as_slice_mut::<f32>()?.chunks_exact_mut(width);
        for (index, row) in indices.as_slice::<i64>()?.iter().zip(rows) {
            self.table.read_rows(self.row(*index)?, row)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl EmbeddingLookup {
    pub(crate) fn wire(
        self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let numbers = cast(i64::datum_type());
        let indices = model.wire_node(format!("{name}.indices"), numbers, &inputs[..1])?;
        model.wire_node(name, self, &indices)
    }

    /// ONNX counts negative indices from the end.
    fn row(&self, index: i64) -> TractResult<usize> {
        let rows = i64::try_from(self.table.rows())?;
        let row = if index < 0 { index + rows } else { index };
        ensure!(
            (0..rows).contains(&row),
            "index {index} is not a row of {:?}",
            self.table
        );
        Ok(usize::try_from(row)?)
    }
}

impl TypedOp for EmbeddingLookup {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape: TVec<TDim> = inputs[0].shape.iter().cloned().collect();
        shape.push(self.table.columns().to_dim());
        Ok(tvec!(f32::fact(&shape)))
    }

    as_op!();
}
