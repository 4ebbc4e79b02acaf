//! Residual addition and LayerNorm over the last axis.

use encoderfile_kernels as kernels;
use encoderfile_kernels::Isa;
use tract_core::internal::*;

/// `(x − mean(x)) / √(variance(x) + epsilon) · scale + bias`, where `x` is the only
/// input or the sum of two, one of them a residual: `[…, width]` → `[…, width]`.
#[derive(Clone)]
pub(crate) struct LayerNorm {
    pub(crate) parameters: Arc<Parameters>,
    pub(crate) epsilon: f32,
    pub(crate) isa: Isa,
}

/// For each value of a row.
pub(crate) struct Parameters {
    pub(crate) scale: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl PartialEq for LayerNorm {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parameters, &other.parameters) && self.epsilon == other.epsilon
    }
}

impl Eq for LayerNorm {}

impl Op for LayerNorm {
    fn name(&self) -> StaticName {
        "LayerNorm".into()
    }

    op_as_typed_op!();
}

impl TypedOp for LayerNorm {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    as_op!();
}

impl EvalOp for LayerNorm {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let residual = (inputs.len() == 2).then(|| inputs.pop()).flatten();
        // In its place, if nobody else needs it.
        let mut output = args_1!(inputs).into_tensor();
        {
            let mut plain = output.try_as_plain_ram_mut()?;
            let values = plain.as_slice_mut::<f32>()?;
            let residual = residual.as_ref();
            let residual = residual.map(|residual| residual.try_as_plain_ram()?.as_slice());
            let parameters = kernels::LayerNorm {
                scale: &self.parameters.scale,
                bias: &self.parameters.bias,
                epsilon: self.epsilon,
            };
            kernels::layer_norm(self.isa, parameters, values, residual.transpose()?)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}
