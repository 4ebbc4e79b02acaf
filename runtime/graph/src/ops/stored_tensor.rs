//! A large tensor where it is stored, until a pass takes it from there or it is read.

use encoderfile_format::source::Source;
use encoderfile_format::weights::{External, Matrix, WeightsError, dims};
use encoderfile_proto::onnx::TensorProto;
use std::sync::Arc;
use tract_core::internal::*;
use tract_core::ops::konst::Const;

/// A tensor of float32 in the payload. It is no constant to tract, which would have to read it.
///
/// **Invariant:** no plan has one: [`read_all`].
#[derive(Clone)]
pub(crate) struct StoredTensor {
    pub(crate) matrix: Arc<Matrix>,
    shape: TVec<usize>,
}

impl PartialEq for StoredTensor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.matrix, &other.matrix)
    }
}

impl Eq for StoredTensor {}

impl StoredTensor {
    pub(crate) fn new(
        tensor: &TensorProto,
        place: &External,
        weights: &Arc<dyn Source>,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            matrix: Arc::new(Matrix::of(tensor, place, weights)?),
            shape: dims(tensor)?.into(),
        })
    }

    pub(crate) fn fact(&self) -> TypedFact {
        f32::fact(&self.shape)
    }

    /// How many heads there are, if the matrix it is stored as is one of heads, width and positions: all
    /// other axes are one long, and those three are in that order.
    pub(crate) fn heads(&self, [head, width, position]: [usize; 3]) -> Option<usize> {
        let is_in_order = head < width && width < position;
        let is_last = self.shape[position + 1..].iter().all(|it| *it == 1);
        let fits = self.matrix.columns() == self.shape[position];
        (is_in_order && is_last && fits).then(|| self.shape[head])
    }

    /// Its values, after which it is not needed where it is stored.
    pub(crate) fn take(&self) -> TractResult<Arc<Tensor>> {
        let values = self.read()?;
        self.matrix.release();
        Ok(values)
    }

    /// Its values.
    pub(crate) fn read(&self) -> TractResult<Arc<Tensor>> {
        let mut values = Tensor::zero::<f32>(&self.shape)?;
        {
            let mut plain = values.try_as_plain_ram_mut()?;
            self.matrix.read_rows(0, plain.as_slice_mut::<f32>()?)?;
        }
        Ok(values.into_arc_tensor())
    }
}

/// Reads those that no pass has taken, and makes constants of them.
pub(crate) fn read_all(model: &mut TypedModel) -> TractResult<()> {
    for node in &mut model.nodes {
        let Some(stored) = node.op_as::<StoredTensor>() else {
            continue;
        };
        let tensor = stored.take()?;
        node.outputs[0].fact = TypedFact::try_from(Arc::clone(&tensor))?;
        node.op = Box::new(Const::new(tensor)?);
    }
    Ok(())
}

impl Op for StoredTensor {
    fn name(&self) -> StaticName {
        "StoredTensor".into()
    }

    op_as_typed_op!();
}

impl EvalOp for StoredTensor {
    not_out_of_plan!();
}

impl TypedOp for StoredTensor {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.fact()))
    }

    as_op!();
}
