//! Softmax attention.

use super::Backend;
use super::head_layout::HeadLayout;
use encoderfile_kernels as kernels;
use tract_core::internal::*;

/// `softmax(scale · queries · keys + mask) · values`, of which a softmax that is no number
/// may be 0.
#[derive(Clone)]
pub(crate) struct Attention {
    pub(crate) queries: HeadLayout,
    pub(crate) keys: HeadLayout,
    /// Of the queries, the keys and the scores together.
    pub(crate) scale: f32,
    pub(crate) values: HeadLayout,
    pub(crate) output: HeadLayout,
    /// The keys that a query attends to, if not all.
    pub(crate) window: Option<kernels::Window>,
    pub(crate) undefined: kernels::Undefined,
    pub(crate) backend: Backend,
}

impl PartialEq for Attention {
    fn eq(&self, other: &Self) -> bool {
        let layouts = |it: &Self| [it.queries, it.keys, it.values, it.output];
        let others = |it: &Self| (it.scale, it.window, it.undefined);
        layouts(self) == layouts(other) && others(self) == others(other)
    }
}

// No scale is NaN.
impl Eq for Attention {}

impl Attention {
    fn output_shape<D: Clone>(&self, one: D, queries: &[D], values: &[D]) -> TVec<D> {
        let tokens = queries[self.queries.tokens].clone();
        let heads = queries[self.queries.heads].clone();
        let width = values[self.values.rank - 1].clone();
        self.output.shape(one, tokens, heads, width)
    }
}

impl Op for Attention {
    fn name(&self) -> StaticName {
        "Attention".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Attention {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.output_shape(1.to_dim(), &inputs[0].shape, &inputs[2].shape);
        Ok(tvec!(f32::fact(&shape)))
    }

    as_op!();
}

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = self.output_shape(1, inputs[0].shape(), inputs[2].shape());
        let mut output = Tensor::zero::<f32>(&shape)?;
        let plain = inputs.iter().map(|it| it.try_as_plain_ram());
        let plain = plain.collect::<TractResult<TVec<_>>>()?;
        let slices = plain.iter().map(|it| it.as_slice::<f32>());
        let slices = slices.collect::<TractResult<TVec<_>>>()?;
        let heads = |at: usize, layout: HeadLayout| {
            kernels::HeadView::new(slices[at], layout.strides(inputs[at].shape()))
        };
        let bias = slices.get(3).map(|bias| mask(bias, inputs[3].shape()));
        let operands = kernels::Attention {
            queries: heads(0, self.queries)?,
            keys: heads(1, self.keys)?,
            values: heads(2, self.values)?,
            scale: self.scale,
            bias: bias.transpose()?,
            window: self.window,
            undefined: self.undefined,
        };
        let to = self.output.strides(&shape);
        {
            let Backend { isa, cores, .. } = &self.backend;
            let mut plain = output.try_as_plain_ram_mut()?;
            kernels::attention(*isa, &**cores, &operands, to, plain.as_slice_mut()?)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

/// What is added to scores: `[…, heads, queries, keys]`, of which any may be one.
fn mask<'a>(values: &'a [f32], shape: &[usize]) -> TractResult<kernels::Bias<'a>> {
    let [.., heads, queries, keys] = *shape else {
        bail!("a mask of shape {shape:?}")
    };
    Ok(kernels::Bias::new(values, [heads, queries, keys])?)
}
