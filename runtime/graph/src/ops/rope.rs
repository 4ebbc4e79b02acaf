//! RoPE, rotary position embedding of queries or keys.

use super::head_layout::HeadLayout;
use encoderfile_kernels as kernels;
use encoderfile_kernels::{HeadView, Isa};
use tract_core::internal::*;

/// `x · cos + concat(−second half of x, first half of x) · sin`, where cosines and
/// sines are `[tokens, width]`: heads where `input` says → heads where `output` says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Rope {
    pub(crate) input: HeadLayout,
    pub(crate) output: HeadLayout,
    pub(crate) isa: Isa,
}

impl Rope {
    fn output_shape<D: Clone>(&self, one: D, input: &[D]) -> TVec<D> {
        let HeadLayout {
            rank,
            tokens,
            heads,
            ..
        } = self.input;
        let [tokens, heads, width] = [tokens, heads, rank - 1].map(|axis| input[axis].clone());
        self.output.shape(one, tokens, heads, width)
    }
}

impl Op for Rope {
    fn name(&self) -> StaticName {
        "RoPE".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Rope {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.output_shape(1.to_dim(), &inputs[0].shape);
        Ok(tvec!(f32::fact(&shape)))
    }

    as_op!();
}

impl EvalOp for Rope {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (input, cos, sin) = args_3!(inputs);
        let shape = self.output_shape(1, input.shape());
        let mut output = Tensor::zero::<f32>(&shape)?;
        {
            let [input_values, cos, sin] = [
                input.try_as_plain_ram()?,
                cos.try_as_plain_ram()?,
                sin.try_as_plain_ram()?,
            ];
            let mut plain = output.try_as_plain_ram_mut()?;
            let input = HeadView::new(input_values.as_slice()?, self.input.strides(input.shape()))?;
            let to = self.output.strides(&shape);
            let (cos, sin) = (cos.as_slice()?, sin.as_slice()?);
            kernels::rope(self.isa, input, cos, sin, to, plain.as_slice_mut()?)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}
