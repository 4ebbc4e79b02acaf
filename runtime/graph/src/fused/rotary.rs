//! Rotary position embedding: queries or keys, turned by an angle for each token.
//!
//! **Invariant:** products and sums are rounded one by one, as in what is replaced:
//! the results are the same to the bit.

use super::lanes::{Isa, Lanes, Task};
use super::place::{Place, Placed};
use super::{is_binary, only_successor, other_input};
use tract_hir::internal::*;
use tract_hir::tract_core::ops::array::{Slice, TypedConcat};
use tract_hir::tract_core::ops::element_wise::ElementWiseOp;
use tract_hir::tract_core::ops::math::{Add, Mul, Neg};

/// `x · cos + concat(-second half of x, first half of x) · sin`, where cosines and
/// sines are `[tokens, width]`: heads where `input` says → heads where `output` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotary {
    input: Place,
    output: Place,
    isa: Isa,
}

impl Rotary {
    fn output_shape<D: Clone>(&self, one: D, input: &[D]) -> TVec<D> {
        let Place {
            rank,
            tokens,
            heads,
            ..
        } = self.input;
        let [tokens, heads, width] = [tokens, heads, rank - 1].map(|axis| input[axis].clone());
        self.output.shape(one, tokens, heads, width)
    }
}

impl Op for Rotary {
    fn name(&self) -> StaticName {
        "Rotary".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Rotary {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.output_shape(1.to_dim(), &inputs[0].shape);
        Ok(tvec!(f32::fact(&shape)))
    }

    as_op!();
}

impl EvalOp for Rotary {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (input, cos, sin) = args_3!(inputs);
        let shape = self.output_shape(1, input.shape());
        // SAFETY: every value is written below: a row for each token of each head.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        {
            let [input_values, cos, sin] = [
                input.try_as_plain_ram()?,
                cos.try_as_plain_ram()?,
                sin.try_as_plain_ram()?,
            ];
            let mut plain = output.try_as_plain_ram_mut()?;
            let input = Placed::new(input_values.as_slice()?, input.shape(), self.input);
            let (cos, sin) = (cos.as_slice()?, sin.as_slice()?);
            let length = input.tokens * input.width;
            ensure!(cos.len() == length && sin.len() == length, "{shape:?}");
            self.isa.run(Heads {
                output: Placed::new(plain.as_slice_mut()?, &shape, self.output),
                input,
                cos,
                sin,
            });
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

/// Heads to be turned.
struct Heads<'a> {
    input: Placed<&'a [f32]>,
    /// `[tokens, width]`, as are the sines.
    cos: &'a [f32],
    sin: &'a [f32],
    output: Placed<&'a mut [f32]>,
}

impl Task for Heads<'_> {
    type Output = ();

    /// Token by token: where they come from, its heads are side by side. Head by head,
    /// ModernBERT-base takes a third longer here, and attention that turned its heads
    /// itself would take half as long again (`examples/profile`, 128 and 512 tokens).
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let width = self.input.width;
        let cos = self.cos.chunks_exact(width);
        for (token, (cos, sin)) in cos.zip(self.sin.chunks_exact(width)).enumerate() {
            for head in 0..self.input.count {
                let start = self.output.row_start(head, token);
                let output = &mut self.output.values[start..][..width];
                turn::<V>(self.input.row(head, token), cos, sin, output);
            }
        }
    }
}

#[inline(always)]
fn turn<V: Lanes>(row: &[f32], cos: &[f32], sin: &[f32], output: &mut [f32]) {
    let half = row.len() / 2;
    let (first, second) = row.split_at(half);
    let (first_cos, second_cos) = cos.split_at(half);
    let (first_sin, second_sin) = sin.split_at(half);
    let (first_output, second_output) = output.split_at_mut(half);
    for at in (0..half).step_by(V::COUNT) {
        let (x, y) = (V::load_some(&first[at..]), V::load_some(&second[at..]));
        let turned = x.mul(V::load_some(&first_cos[at..]));
        let turned = turned.sub(y.mul(V::load_some(&first_sin[at..])));
        turned.store_some(&mut first_output[at..]);
        let turned = y.mul(V::load_some(&second_cos[at..]));
        let turned = turned.add(x.mul(V::load_some(&second_sin[at..])));
        turned.store_some(&mut second_output[at..]);
    }
}

/// What is a rotary position embedding in a model.
pub(super) struct Found {
    op: Rotary,
    inputs: TVec<OutletId>,
    last: usize,
}

impl Found {
    /// What has its halves put together again at the node `id`.
    #[cold]
    pub(super) fn at(model: &TypedModel, id: usize) -> TractResult<Option<Self>> {
        let Some(found) = Self::whole(model, id) else {
            return Ok(None);
        };
        let (input, place) = found.op.output.of_whole(model, found.inputs[0])?;
        let mut inputs = found.inputs;
        inputs[0] = input;
        let op = Rotary {
            input: place,
            ..found.op
        };
        Ok(Some(Self {
            op,
            inputs,
            ..found
        }))
    }

    /// With an input that has the axes of the output.
    #[cold]
    fn whole(model: &TypedModel, id: usize) -> Option<Self> {
        let input = input_of_halves(model, id)?;
        let with_sin = only_successor(model, id).filter(|node| is_binary::<Mul>(node))?;
        let sin = other_input(with_sin, id.into())?;
        let sum = only_successor(model, with_sin.id).filter(|node| is_binary::<Add>(node))?;
        let with_cos = other_input(sum, with_sin.id.into())?.node;
        let only_sum = only_successor(model, with_cos).filter(|node| node.id == sum.id);
        let with_cos = only_sum.map(|_| model.node(with_cos))?;
        let cos = other_input(with_cos, input).filter(|_| is_binary::<Mul>(with_cos))?;
        let place = place_of_heads(model, input, cos)?;
        let op = Rotary {
            input: place,
            output: place,
            isa: Isa::in_use(),
        };
        (place_of_heads(model, input, sin)? == place).then_some(Self {
            op,
            inputs: tvec!(input, cos, sin),
            last: sum.id,
        })
    }

    #[cold]
    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &self.inputs, self.op)?.apply(model)
    }
}

/// Whose halves the node `id` has in the other order, the second one negated.
#[cold]
fn input_of_halves(model: &TypedModel, id: usize) -> Option<OutletId> {
    let concat = model.node(id);
    let [negated, first] = &*concat.inputs else {
        return None;
    };
    let negation = only_successor_is(model, negated.node, id)?;
    let is_negation = negation.op_as::<ElementWiseOp>()?.0.is::<Neg>();
    let second = only_successor_is(model, negation.inputs.first()?.node, negation.id)?;
    let first = only_successor_is(model, first.node, id)?;
    let input = second.inputs[0];
    let fact = model.outlet_fact(input).ok()?;
    let last_axis = fact.rank().checked_sub(1)?;
    let half = fact.shape[last_axis].to_usize().ok()? / 2;
    let is_in_order = concat.op_as::<TypedConcat>()?.axis == last_axis
        && first.inputs[0] == input
        && *first.op_as::<Slice>()? == Slice::new(last_axis, 0, half)
        && *second.op_as::<Slice>()? == Slice::new(last_axis, half, 2 * half);
    let is_float = fact.is_plain() && fact.datum_type == f32::datum_type();
    let is_whole = fact.shape == concat.outputs[0].fact.shape;
    (is_in_order && is_negation && is_float && is_whole && half > 0).then_some(input)
}

/// A node whose only successor is `successor`.
#[cold]
fn only_successor_is(model: &TypedModel, id: usize, successor: usize) -> Option<&TypedNode> {
    let is_it = only_successor(model, id)?.id == successor;
    is_it.then(|| model.node(id))
}

/// Where the heads are in an input that is multiplied by a row for each token.
#[cold]
fn place_of_heads(model: &TypedModel, input: OutletId, rows: OutletId) -> Option<Place> {
    let [input, rows] = [
        model.outlet_fact(input).ok()?,
        model.outlet_fact(rows).ok()?,
    ];
    let rank = input.rank();
    let is_float = rows.is_plain() && rows.datum_type == f32::datum_type();
    let is_row = rows.rank() == rank && rows.shape[rank - 1] == input.shape[rank - 1];
    if !(is_float && is_row) {
        return None;
    }
    let longer = |fact: &TypedFact| -> Vec<usize> {
        let axes = 0..rank - 1;
        axes.filter(|axis| !fact.shape[*axis].is_one()).collect()
    };
    let (axes, tokens) = (longer(input), longer(rows));
    let ([first, second], [tokens]) = (&*axes, &*tokens) else {
        return None;
    };
    let heads = if tokens == first { second } else { first };
    let same_length = rows.shape[*tokens] == input.shape[*tokens];
    same_length.then(|| Place::new(rank, *tokens, *heads))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two heads of three tokens.
    fn turned(isa: Isa, width: usize) {
        let numbers = |count: usize, factor: f32| -> Vec<f32> {
            let number = |at: usize| (at as f32 * factor).sin();
            (0..count).map(number).collect()
        };
        let (cos, sin) = (numbers(3 * width, 0.7), numbers(3 * width, 1.3));
        let input = numbers(6 * width, 2.9);
        let (input_shape, output_shape) = ([3, 2, width], [2, 3, width]);
        let mut output = vec![f32::NAN; input.len()];
        isa.run(Heads {
            input: Placed::new(&input, &input_shape, Place::new(3, 0, 1)),
            cos: &cos,
            sin: &sin,
            output: Placed::new(&mut output, &output_shape, Place::new(3, 1, 0)),
        });
        for (at, value) in output.iter().enumerate() {
            let (head, token, place) = (at / (3 * width), at / width % 3, at % width);
            let row = &input[(token * 2 + head) * width..][..width];
            let half = width / 2;
            let other = match place.checked_sub(half) {
                Some(place) => row[place],
                None => -row[place + half],
            };
            let angle = token * width + place;
            let expected = row[place] * cos[angle] + other * sin[angle];
            assert_eq!(*value, expected, "{isa:?}, {width}: {at}");
        }
    }

    #[test]
    fn both_halves_are_turned() {
        for isa in Isa::all() {
            for width in [2, 8, 38, 64] {
                turned(isa, width);
            }
        }
    }
}
