//! The gate of an MLP: a part of each row by the activation of another one.
//!
//! **Invariant:** a row's result depends on that row alone.

use super::activation::Activation;
use super::lanes::{self, Isa, Lanes, Task};
use super::linear::is_gelu;
use super::{is_binary, only_successor, other_input};
use std::ops::Range;
use tract_hir::internal::*;
use tract_hir::tract_core::ops::array::Slice;
use tract_hir::tract_core::ops::math::Mul;

/// `gelu(activated) · factor`, parts of each row: `[…, width]` → `[…, activated]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gated {
    activated: Range<usize>,
    /// As long.
    factor: Range<usize>,
    isa: Isa,
}

impl Op for Gated {
    fn name(&self) -> StaticName {
        "Gated".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Gated {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.clone();
        shape.set(shape.rank() - 1, self.activated.len().to_dim());
        Ok(tvec!(f32::fact(shape)))
    }

    as_op!();
}

impl EvalOp for Gated {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let mut shape: TVec<usize> = input.shape().into();
        let width = shape.pop().context("rows")?;
        shape.push(self.activated.len());
        // SAFETY: every value is written below: a row for each of the input's.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        {
            let input = input.try_as_plain_ram()?;
            let mut plain = output.try_as_plain_ram_mut()?;
            self.isa.run(Rows {
                op: self,
                input: input.as_slice()?,
                width,
                output: plain.as_slice_mut()?,
            });
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

/// Rows to be computed.
struct Rows<'a> {
    op: &'a Gated,
    input: &'a [f32],
    /// Of the input's rows.
    width: usize,
    output: &'a mut [f32],
}

impl Task for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Gated {
            activated, factor, ..
        } = self.op;
        let outputs = self.output.chunks_exact_mut(activated.len());
        for (row, output) in self.input.chunks_exact(self.width).zip(outputs) {
            output.copy_from_slice(&row[activated.clone()]);
            Activation::Gelu.apply::<V>(output);
            lanes::multiply::<V>(output, &row[factor.clone()]);
        }
    }
}

/// What is a gate in a model.
pub(super) struct Found {
    op: Gated,
    input: OutletId,
    last: usize,
}

impl Found {
    /// What the node `id` is the activation of.
    #[cold]
    pub(super) fn at(model: &TypedModel, id: usize) -> Option<Self> {
        let gelu = Some(model.node(id)).filter(|node| is_gelu(node))?;
        let product = only_successor(model, id).filter(|node| is_binary::<Mul>(node))?;
        let (input, activated) = part_of_rows(model, gelu.inputs[0], id)?;
        let factor = other_input(product, id.into())?;
        let (other, factor) = part_of_rows(model, factor, product.id)?;
        let is_gate = input == other && activated.len() == factor.len() && !activated.is_empty();
        is_gate.then(|| Self {
            op: Gated {
                activated,
                factor,
                isa: Isa::in_use(),
            },
            input,
            last: product.id,
        })
    }

    #[cold]
    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &[self.input], self.op)?.apply(model)
    }
}

/// The tensor that only `successor` needs a part of each row of, and which part.
#[cold]
fn part_of_rows(
    model: &TypedModel,
    outlet: OutletId,
    successor: usize,
) -> Option<(OutletId, Range<usize>)> {
    let slice = model.node(outlet.node);
    let Slice { axis, start, end } = slice.op_as()?;
    let is_only = only_successor(model, slice.id)?.id == successor;
    let input = slice.inputs[0];
    let fact = model.outlet_fact(input).ok()?;
    let is_float = fact.is_plain() && fact.datum_type == f32::datum_type();
    let is_of_rows = axis + 1 == fact.rank();
    let part = start.to_usize().ok()?..end.to_usize().ok()?;
    (is_only && is_float && is_of_rows).then_some((input, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_the_gate_of_another() {
        // scipy 1.16: x * norm.cdf(x), times 2, -3 and so on.
        let xs = [-1.5f32, -0.5, 0.0, 0.25, 1.0, 3.0];
        let gelus = [
            -0.100_210_8f32,
            -0.154_268_77,
            0.0,
            0.149_676_57,
            0.841_344_8,
            2.995_950_3,
        ];
        for isa in Isa::all() {
            for count in [1, 6, 37] {
                let number = |at: usize| at as f32 / 8.0 - 2.0;
                let factors: Vec<f32> = (0..count).map(number).collect();
                let xs: Vec<f32> = xs.iter().cycle().take(count).copied().collect();
                // Two rows: the factor, something between, what is activated.
                let row = [&*factors, &[f32::NAN], &xs].concat();
                let op = Gated {
                    activated: count + 1..row.len(),
                    factor: 0..count,
                    isa,
                };
                let mut output = vec![f32::NAN; 2 * count];
                isa.run(Rows {
                    op: &op,
                    input: &row.repeat(2),
                    width: row.len(),
                    output: &mut output,
                });
                for (at, value) in output.iter().enumerate() {
                    let expected = gelus[at % count % gelus.len()] * factors[at % count];
                    let error = (value - expected).abs();
                    assert!(error <= 3e-6, "{isa:?}, {count}: {value} for {expected}");
                }
            }
        }
    }
}
