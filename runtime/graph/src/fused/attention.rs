//! Softmax attention, a head and a tile's queries at a time: the scores of all
//! tokens for all others are never in memory.
//!
//! **Invariant:** what a query gets depends on nothing but that query, the keys,
//! the values and its row of the mask.

use super::buffer::{Buffer, LINE};
use super::heads::{Role, places};
use super::lanes::{self, Isa, Lanes, Task};
use super::place::{Place, Placed};
use super::product::{self, Left, Panels, Rows, RowsMut};
use super::softmax;
use super::{Computing, is_binary, only_successor, scalar_factor};
use crate::cores::Cores;
use std::ops::Range;
use tract_hir::internal::*;
use tract_hir::tract_core::ops::einsum::EinSum;
use tract_hir::tract_core::ops::math::Add;
use tract_hir::tract_core::ops::nn::{Softmax, SoftmaxKind};

/// `softmax(scale · queries · keys + mask) · values`
#[derive(Clone, Debug)]
pub(super) struct Attention {
    queries: Place,
    keys: Place,
    /// Of the queries, the keys and the scores together.
    scale: f32,
    values: Place,
    output: Place,
    isa: Isa,
    cores: Arc<Cores>,
}

impl PartialEq for Attention {
    fn eq(&self, other: &Self) -> bool {
        let places = |it: &Self| [it.queries, it.keys, it.values, it.output];
        places(self) == places(other) && self.scale == other.scale
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
        let heads = |at: usize, place| Placed::new(slices[at], inputs[at].shape(), place);
        let mask = slices.get(3).map(|mask| Mask::new(mask, inputs[3].shape()));
        let to = Placed::new((), &shape, self.output);
        let inputs = Inputs {
            queries: heads(0, self.queries),
            keys: heads(1, self.keys),
            values: heads(2, self.values),
            mask: mask.transpose()?,
        };
        {
            let mut plain = output.try_as_plain_ram_mut()?;
            self.compute(&inputs, &to, plain.as_slice_mut()?);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

/// What is added to scores: `[…, heads, queries, keys]`, of which any may be one.
struct Mask<'a> {
    values: &'a [f32],
    head_stride: usize,
    query_stride: usize,
    width: usize,
}

impl<'a> Mask<'a> {
    fn new(values: &'a [f32], shape: &[usize]) -> TractResult<Self> {
        let [.., heads, queries, width] = *shape else {
            bail!("a mask of shape {shape:?}")
        };
        ensure!(values.len() == heads * queries * width, "{shape:?}");
        let stride = |length: usize, stride: usize| if length == 1 { 0 } else { stride };
        Ok(Self {
            values,
            head_stride: stride(heads, queries * width),
            query_stride: stride(queries, width),
            width,
        })
    }

    #[inline(always)]
    fn add_to<V: Lanes>(&self, scores: &mut [f32], head: usize, query: usize) {
        let start = head * self.head_stride + query * self.query_stride;
        let row = &self.values[start..][..self.width];
        match row {
            [one] => scores.iter_mut().for_each(|score| *score += one),
            _ => lanes::add::<V>(scores, row),
        }
    }
}

impl Attention {
    /// Computes heads, or tokens of all heads, in parts: whichever the output has
    /// one after the other.
    fn compute(&self, inputs: &Inputs<'_>, to: &Placed<()>, output: &mut [f32]) {
        let Inputs { keys, values, .. } = inputs;
        let width = keys.width + values.width;
        let parts = self.cores.parts([to.count, to.tokens, keys.tokens, width]);
        let of_heads = to.head_stride > to.token_stride;
        let (count, stride) = match of_heads {
            true => (to.count, to.head_stride),
            false => (to.tokens, to.token_stride),
        };
        let each = count.div_ceil(parts).max(1);
        let outputs = output.chunks_mut((each * stride).max(1)).enumerate();
        self.cores.each(outputs, |(part, output)| {
            let range = part * each..count.min((part + 1) * each);
            let (heads, tokens) = match of_heads {
                true => (range, 0..to.tokens),
                false => (0..to.count, range),
            };
            self.isa.run(Heads {
                op: self,
                inputs,
                to,
                heads,
                tokens,
                output,
            });
        });
    }
}

struct Inputs<'a> {
    queries: Placed<&'a [f32]>,
    keys: Placed<&'a [f32]>,
    values: Placed<&'a [f32]>,
    mask: Option<Mask<'a>>,
}

/// Tokens of heads to be computed.
struct Heads<'a> {
    op: &'a Attention,
    inputs: &'a Inputs<'a>,
    to: &'a Placed<()>,
    heads: Range<usize>,
    tokens: Range<usize>,
    /// From the first of both on.
    output: &'a mut [f32],
}

/// A head's factors, packed, and scratch memory.
#[derive(Default)]
struct Memory {
    keys: Buffer,
    values: Buffer,
    /// Of a tile's queries, each row as long as whole panels.
    scores: Buffer,
    /// Of a tile's queries or weights.
    strip: Buffer,
    divisors: Vec<f32>,
}

impl Task for Heads<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let Inputs { keys, values, .. } = self.inputs;
        let panel_width = 2 * V::COUNT;
        let mut memory = Memory::default();
        for head in self.heads.clone() {
            product::pack_panels_transposed(keys.rows(head), panel_width, &mut memory.keys);
            lanes::scale::<V>(&mut memory.keys, self.op.scale);
            product::pack_panels(values.rows(head), panel_width, &mut memory.values);
            for queries in product::strips::<V>(self.tokens.len()) {
                let first = self.tokens.start;
                let queries = first + queries.start..first + queries.end;
                self.weigh::<V>(&mut memory, head, queries.clone());
                self.sum_up::<V>(&mut memory, head, queries);
            }
        }
    }
}

impl Heads<'_> {
    /// Computes the weights of all values for the queries of a tile.
    #[inline(always)]
    fn weigh<V: Lanes>(&self, memory: &mut Memory, head: usize, queries: Range<usize>) {
        let Inputs { keys, mask, .. } = self.inputs;
        let width = keys.tokens.next_multiple_of(2 * V::COUNT);
        memory.scores.resize(queries.len() * (width + LINE));
        let rows = self.inputs.queries.some_rows(head, queries.clone());
        let left = Left::of::<V>(rows, &mut memory.strip);
        let mut scores = RowsMut {
            values: &mut memory.scores,
            stride: width + LINE,
            width,
        };
        product::multiply::<V>(left, Panels::of::<V>(&memory.keys), None, &mut scores);
        memory.divisors.clear();
        let rows = memory.scores.chunks_exact_mut(width + LINE);
        for (query, row) in queries.zip(rows) {
            let row = &mut row[..width];
            let (scores, beyond) = row.split_at_mut(keys.tokens);
            if let Some(mask) = mask {
                mask.add_to::<V>(scores, head, query);
            }
            beyond.fill(f32::NEG_INFINITY);
            memory.divisors.push(softmax::weights::<V>(row));
        }
    }

    /// Adds up the values of a head by their weights.
    #[inline(always)]
    fn sum_up<V: Lanes>(&mut self, memory: &mut Memory, head: usize, queries: Range<usize>) {
        let Placed { tokens, width, .. } = self.inputs.values;
        let weights = Rows {
            values: &memory.scores,
            // Not a multiple of what a cache's way has: see `Left::of`.
            stride: tokens.next_multiple_of(2 * V::COUNT) + LINE,
            width: tokens,
            count: queries.len(),
        };
        let left = Left::of::<V>(weights, &mut memory.strip);
        let stride = self.to.token_stride;
        let (head, query) = (head - self.heads.start, queries.start - self.tokens.start);
        let start = self.to.row_start(head, query);
        let mut output = RowsMut {
            values: &mut self.output[start..],
            stride,
            width,
        };
        product::multiply::<V>(left, Panels::of::<V>(&memory.values), None, &mut output);
        for (row, divisor) in memory.divisors.iter().enumerate() {
            let row = &mut output.values[row * stride..][..width];
            lanes::scale::<V>(row, 1.0 / divisor);
        }
    }
}

/// The scores, their softmax and the product with the values in a model.
pub(super) struct Found {
    op: Attention,
    inputs: TVec<OutletId>,
    last: usize,
}

impl Found {
    /// What begins at the node `id`, a product of queries and keys.
    #[cold]
    pub(super) fn at(
        model: &TypedModel,
        id: usize,
        computing: &Computing,
    ) -> TractResult<Option<Self>> {
        let Some(scores) = Scores::of(model, id)? else {
            return Ok(None);
        };
        let Some(after) = After::of(model, id)? else {
            return Ok(None);
        };
        let Some((values, value_place, output)) = scores.weighted(model, after.last)? else {
            return Ok(None);
        };
        let node = model.node(id);
        let (queries, query_scale) = scaled(model, node.inputs[scores.query_slot])?;
        let (keys, key_scale) = scaled(model, node.inputs[1 - scores.query_slot])?;
        let (queries, query_place) = scores.queries.of_whole(model, queries)?;
        let (keys, key_place) = scores.keys.of_whole(model, keys)?;
        let (values, value_place) = value_place.of_whole(model, values)?;
        let op = Attention {
            queries: query_place,
            keys: key_place,
            scale: query_scale * key_scale * after.scale,
            values: value_place,
            output,
            isa: Isa::in_use(),
            cores: Arc::clone(&computing.cores),
        };
        let mut inputs = tvec!(queries, keys, values);
        inputs.extend(after.mask);
        let last = only_successor(model, after.last).map(|node| node.id);
        let last = last.context("checked above")?;
        Ok(Some(Self { op, inputs, last }))
    }

    #[cold]
    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &self.inputs, self.op)?.apply(model)
    }
}

/// A product of queries and keys: `[…, heads, queries, keys]`.
struct Scores {
    queries: Place,
    keys: Place,
    query_slot: usize,
}

impl Scores {
    #[cold]
    fn of(model: &TypedModel, id: usize) -> TractResult<Option<Self>> {
        let Some((op, facts)) = float_product(model, id)? else {
            return Ok(None);
        };
        let rank = op.axes.rank(InOut::Out(0));
        let Some(query_slot) = [0, 1].into_iter().find(|slot| {
            // The keys are the last axis of the scores, and no axis of the queries.
            let last = op.axes.axis((InOut::Out(0), rank - 1));
            last.is_ok_and(|axis| axis.inputs[*slot].is_empty())
        }) else {
            return Ok(None);
        };
        let Some([queries, keys, scores]) =
            places(&op.axes, [query_slot, 1 - query_slot], &facts, Role::Summed)
        else {
            return Ok(None);
        };
        let in_order = rank >= 3 && scores == [rank - 3, rank - 2, rank - 1];
        let place = |slot: usize, [heads, tokens, width]: [usize; 3]| {
            let rank = facts[slot].rank();
            (width == rank - 1).then_some(Place::new(rank, tokens, heads))
        };
        let found = (place(query_slot, queries), place(1 - query_slot, keys));
        Ok(match found {
            (Some(queries), Some(keys)) if in_order => Some(Self {
                queries,
                keys,
                query_slot,
            }),
            _ => None,
        })
    }

    /// The values that the softmax `id` weighs, and where they and the result are.
    #[cold]
    fn weighted(
        &self,
        model: &TypedModel,
        id: usize,
    ) -> TractResult<Option<(OutletId, Place, Place)>> {
        let Some(product) = only_successor(model, id) else {
            return Ok(None);
        };
        let Some((op, facts)) = float_product(model, product.id)? else {
            return Ok(None);
        };
        let Some(slot) = product.inputs.iter().position(|input| input.node == id) else {
            return Ok(None);
        };
        let rank = facts[slot].rank();
        let Some([weights, values, output]) =
            places(&op.axes, [slot, 1 - slot], &facts, Role::Kept)
        else {
            return Ok(None);
        };
        let output_rank = op.axes.rank(InOut::Out(0));
        let [heads, tokens, width] = output;
        let output = Place::new(output_rank, tokens, heads);
        let [value_heads, value_tokens, value_width] = values;
        let place = Place::new(facts[1 - slot].rank(), value_tokens, value_heads);
        let in_order = weights == [rank - 3, rank - 2, rank - 1]
            && value_width == place.rank - 1
            && width == output_rank - 1;
        Ok(in_order.then(|| (product.inputs[1 - slot], place, output)))
    }
}

/// A product of two float32 tensors that are not known, and not known to be empty.
#[cold]
fn float_product(
    model: &TypedModel,
    id: usize,
) -> TractResult<Option<(&EinSum, TVec<&TypedFact>)>> {
    let Some(op) = model.node(id).op_as::<EinSum>() else {
        return Ok(None);
    };
    let facts = model.node_input_facts(id)?;
    let is_float = |fact: &&TypedFact| {
        let is_empty = fact.shape.iter().any(|length| *length == 0.to_dim());
        let is_float = fact.is_plain() && fact.datum_type == f32::datum_type();
        is_float && !is_empty && fact.konst.is_none()
    };
    let is_one = facts.len() == 2 && facts.iter().all(is_float) && op.q_params.is_none();
    Ok(is_one.then_some((op, facts)))
}

/// What there is between the scores and their product with the values.
struct After {
    scale: f32,
    mask: Option<OutletId>,
    /// The softmax.
    last: usize,
}

impl After {
    #[cold]
    fn of(model: &TypedModel, scores: usize) -> TractResult<Option<Self>> {
        let shape = &model.node(scores).outputs[0].fact.shape;
        let (mut at, mut scale, mut mask) = (scores, 1.0, None);
        loop {
            let Some(node) = only_successor(model, at) else {
                return Ok(None);
            };
            if let Some(softmax) = node.op_as::<Softmax>() {
                let is_over_keys = *softmax.axes == [shape.rank() - 1];
                let is_plain = softmax.kind == SoftmaxKind::Softmax;
                let last = node.id;
                return Ok((is_over_keys && is_plain).then_some(Self { scale, mask, last }));
            }
            if node.outputs[0].fact.shape != *shape || mask.is_some() {
                return Ok(None);
            }
            let factor = scalar_factor(model, node.id).filter(|_| scale == 1.0);
            if let Some((_, factor)) = factor {
                scale = factor;
            } else if is_binary::<Add>(node) {
                let Some(added) = node.inputs.iter().find(|input| input.node != at) else {
                    return Ok(None);
                };
                if !is_mask(model.outlet_fact(*added)?, shape) {
                    return Ok(None);
                }
                mask = Some(*added);
            } else {
                return Ok(None);
            }
            at = node.id;
        }
    }
}

/// Whether a tensor can be added to scores of this shape.
#[cold]
fn is_mask(fact: &TypedFact, scores: &ShapeFact) -> bool {
    let fits = |(axis, length): (usize, &TDim)| {
        let varies = axis + 3 >= scores.rank();
        length.is_one() || (varies && *length == scores[axis])
    };
    fact.is_plain()
        && fact.datum_type == f32::datum_type()
        && fact.rank() == scores.rank()
        && fact.shape.iter().enumerate().all(fits)
}

/// What an outlet is a multiple of, if it is one.
#[cold]
fn scaled(model: &TypedModel, outlet: OutletId) -> TractResult<(OutletId, f32)> {
    let Some((data, factor)) = scalar_factor(model, outlet.node) else {
        return Ok((outlet, 1.0));
    };
    let same_shape = model.outlet_fact(data)?.shape == model.outlet_fact(outlet)?.shape;
    Ok(if same_shape {
        (data, factor)
    } else {
        (outlet, 1.0)
    })
}
