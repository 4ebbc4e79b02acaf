//! GeGLU, the gated MLP of ModernBERT: `gelu(a) · b`.

use encoderfile_kernels as kernels;
use encoderfile_kernels::Isa;
use std::ops::Range;
use tract_core::internal::*;

/// `gelu(activated) · factor`, parts of each row: `[…, width]` → `[…, activated]`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct GeGlu {
    pub(crate) activated: Range<usize>,
    /// As long.
    pub(crate) factor: Range<usize>,
    pub(crate) isa: Isa,
}

impl Op for GeGlu {
    fn name(&self) -> StaticName {
        "GeGLU".into()
    }

    op_as_typed_op!();
}

impl TypedOp for GeGlu {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.clone();
        shape.set(shape.rank() - 1, self.activated.len().to_dim());
        Ok(tvec!(f32::fact(shape)))
    }

    as_op!();
}

impl EvalOp for GeGlu {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let mut shape: TVec<usize> = input.shape().into();
        let width = shape.pop().context("rows")?;
        shape.push(self.activated.len());
        let mut output = Tensor::zero::<f32>(&shape)?;
        {
            let input = input.try_as_plain_ram()?;
            let mut plain = output.try_as_plain_ram_mut()?;
            let layout = kernels::GeGlu {
                width,
                activated: self.activated.clone(),
                factor: self.factor.clone(),
            };
            kernels::geglu(self.isa, &layout, input.as_slice()?, plain.as_slice_mut()?)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}
