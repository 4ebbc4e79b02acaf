//! Scores by relative position, as DeBERTa adds them to those of attention: each
//! row times the vectors of all positions, of which every column takes the one at
//! its distance.
//!
//! Only positions that some column of a tile takes are multiplied, and their
//! scores are never in memory but for a tile's rows.

use super::buffer::Buffer;
use super::heads::{Role, places};
use super::lanes::{Isa, Lanes, Task};
use super::place::{Place, Placed};
use super::product::{self, Left, Panels, Rows, RowsMut};
use super::{Computing, constant_input, only_successor, scalar_factor};
use crate::cores::Cores;
use std::ops::Range;
use tract_hir::internal::*;
use tract_hir::tract_core::ops::array::{GatherElements, MultiBroadcastTo};
use tract_hir::tract_core::ops::change_axes::AxisOp;
use tract_hir::tract_core::ops::einsum::EinSum;

/// `scale · rows · positions[index]`: rows of `[…, heads, tokens, width]` in any
/// order, and indices of `[…, 1 or heads, tokens, columns]`, give
/// `[…, heads, tokens, columns]`, or with the last two axes swapped.
#[derive(Clone, Debug)]
pub(super) struct Relative {
    rows: Place,
    positions: Arc<Positions>,
    scale: f32,
    swapped: bool,
    isa: Isa,
    cores: Arc<Cores>,
}

/// Constants of `[heads, width, count]`, packed for each head.
#[derive(Debug)]
struct Positions {
    panels: Vec<Buffer>,
    count: usize,
}

impl PartialEq for Relative {
    fn eq(&self, other: &Self) -> bool {
        let both = [self, other].map(|it| (it.rows, it.scale.to_bits(), it.swapped));
        Arc::ptr_eq(&self.positions, &other.positions) && both[0] == both[1]
    }
}

impl Eq for Relative {}

impl Op for Relative {
    fn name(&self) -> StaticName {
        "Relative".into()
    }

    op_as_typed_op!();
}

impl Relative {
    /// Of `[…, heads, rows, columns]`, from the shape of the indices.
    fn output_shape<D: Clone + From<usize>>(&self, indices: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = indices.iter().cloned().collect();
        let rank = shape.len();
        shape[rank - 3] = D::from(self.positions.panels.len());
        if self.swapped {
            shape.swap(rank - 2, rank - 1);
        }
        shape
    }
}

impl Relative {
    fn compute(&self, rows: &Placed<&[f32]>, indices: &Indices, output: &mut [f32]) {
        let of_head = indices.rows * indices.columns;
        // At most, of all positions; and what is taken of them is about as much.
        let products = [rows.count, indices.rows, rows.width, self.positions.count];
        let each = rows.count.div_ceil(self.cores.parts(products));
        let outputs = output.chunks_mut((each * of_head).max(1)).enumerate();
        self.cores.each(outputs, |(part, output)| {
            let heads = part * each..rows.count.min((part + 1) * each);
            self.isa.run(Heads {
                op: self,
                rows,
                indices,
                heads,
                output,
            });
        });
    }
}

impl TypedOp for Relative {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.output_shape(&inputs[1].shape.to_tvec());
        Ok(tvec!(f32::fact(&shape)))
    }

    as_op!();
}

impl EvalOp for Relative {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (rows, indices) = args_2!(inputs);
        let shape = self.output_shape(indices.shape());
        let values = rows.try_as_plain_ram()?;
        let rows = Placed::new(values.as_slice::<f32>()?, rows.shape(), self.rows);
        let indices = Indices::new(&indices, self.positions.count)?;
        let heads = self.positions.panels.len();
        ensure!(
            rows.count == heads
                && rows.tokens == indices.rows
                && [1, heads].contains(&indices.heads),
            "indices for {} × {} of {heads} × {} rows",
            indices.heads,
            indices.rows,
            rows.tokens
        );
        // SAFETY: every value is written below: one for each index of each head.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        {
            let mut plain = output.try_as_plain_ram_mut()?;
            self.compute(&rows, &indices, plain.as_slice_mut()?);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

/// Which position each column of each row takes.
struct Indices {
    /// Each less than the number of positions.
    values: Vec<u32>,
    heads: usize,
    rows: usize,
    columns: usize,
}

impl Indices {
    fn new(tensor: &Tensor, count: usize) -> TractResult<Self> {
        let [.., heads, rows, columns] = *tensor.shape() else {
            bail!("indices of shape {:?}", tensor.shape())
        };
        ensure!(tensor.len() == heads * rows * columns, "more than one text");
        let plain = tensor.try_as_plain_ram()?;
        let length = i64::try_from(count)?;
        let values = plain.as_slice::<i64>()?.iter().map(|index| {
            // From the end, as ONNX has it.
            let from_start = if *index < 0 { index + length } else { *index };
            ensure!(
                (0..length).contains(&from_start),
                "position {index} of {count}"
            );
            Ok(u32::try_from(from_start)?)
        });
        Ok(Self {
            values: values.collect::<TractResult<_>>()?,
            heads,
            rows,
            columns,
        })
    }

    /// Of some rows, one after the other.
    fn of(&self, head: usize, rows: Range<usize>) -> &[u32] {
        let head = if self.heads == 1 { 0 } else { head };
        let start = (head * self.rows + rows.start) * self.columns;
        &self.values[start..][..rows.len() * self.columns]
    }
}

/// Heads to be computed.
struct Heads<'a> {
    op: &'a Relative,
    rows: &'a Placed<&'a [f32]>,
    indices: &'a Indices,
    heads: Range<usize>,
    /// From the first of them on.
    output: &'a mut [f32],
}

impl Task for Heads<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let (mut strip, mut scores) = (Buffer::default(), Buffer::default());
        for head in self.heads.clone() {
            for rows in product::strips::<V>(self.rows.tokens) {
                let indices = self.indices.of(head, rows.clone());
                let Some(panels) = panels_of(indices, 2 * V::COUNT) else {
                    continue;
                };
                let left = self.rows.some_rows(head, rows.clone());
                let left = Left::of::<V>(left, &mut strip);
                let width = panels.len() * 2 * V::COUNT;
                scores.resize(rows.len() * width);
                let panel_len = self.rows.width * 2 * V::COUNT;
                let first = panels.start * 2 * V::COUNT;
                let panels = panels.start * panel_len..panels.end * panel_len;
                let mut output = RowsMut {
                    values: &mut scores,
                    stride: width,
                    width,
                };
                let panels = &self.op.positions.panels[head][panels];
                product::multiply::<V>(left, Panels::of::<V>(panels), None, &mut output);
                let taken = Taken {
                    indices,
                    first,
                    width,
                };
                if self.op.swapped {
                    self.put_across(head, rows, &taken, &scores);
                } else {
                    self.put(head, rows, &taken, &scores);
                }
            }
        }
    }
}

/// What the columns of a strip's rows take.
struct Taken<'a> {
    indices: &'a [u32],
    /// The position of the first score of each row.
    first: usize,
    /// How many scores a row has.
    width: usize,
}

impl Heads<'_> {
    #[inline(always)]
    fn put(&mut self, head: usize, rows: Range<usize>, taken: &Taken<'_>, scores: &[f32]) {
        let Indices {
            rows: all, columns, ..
        } = *self.indices;
        let head = head - self.heads.start;
        let output = &mut self.output[(head * all + rows.start) * columns..];
        let outputs = output.chunks_exact_mut(columns);
        let indices = taken.indices.chunks_exact(columns);
        for ((output, indices), scores) in
            outputs.zip(indices).zip(scores.chunks_exact(taken.width))
        {
            for (value, index) in output.iter_mut().zip(indices) {
                *value = self.op.scale * scores[*index as usize - taken.first];
            }
        }
    }

    /// Rows become columns: all values of a strip that are beside each other at once.
    #[inline(always)]
    fn put_across(&mut self, head: usize, rows: Range<usize>, taken: &Taken<'_>, scores: &[f32]) {
        let Indices {
            rows: all, columns, ..
        } = *self.indices;
        let head = head - self.heads.start;
        let output = &mut self.output[head * all * columns..][..all * columns];
        for (column, output) in output.chunks_exact_mut(all).enumerate() {
            let indices = taken.indices[column..].iter().step_by(columns);
            let scores = scores.chunks_exact(taken.width);
            for ((value, index), scores) in output[rows.clone()].iter_mut().zip(indices).zip(scores)
            {
                *value = self.op.scale * scores[*index as usize - taken.first];
            }
        }
    }
}

/// Those that have all positions which are taken; none if none is.
fn panels_of(indices: &[u32], panel_width: usize) -> Option<Range<usize>> {
    let (least, greatest) = (indices.iter().min()?, indices.iter().max()?);
    let panel = |index: &u32| *index as usize / panel_width;
    Some(panel(least)..panel(greatest) + 1)
}

/// The products, what is taken of them, and a factor, in a model.
pub(super) struct Found {
    op: Relative,
    inputs: TVec<OutletId>,
    last: usize,
}

impl Found {
    /// What begins at the node `id`, a product with constants.
    #[cold]
    pub(super) fn at(
        model: &TypedModel,
        id: usize,
        computing: &Computing,
    ) -> TractResult<Option<Self>> {
        let Some(op) = model.node(id).op_as::<EinSum>() else {
            return Ok(None);
        };
        let Some((positions, slot)) = constant_input(model, id) else {
            return Ok(None);
        };
        let facts = model.node_input_facts(id)?;
        let is_float = |fact: &&TypedFact| fact.is_plain() && fact.datum_type == f32::datum_type();
        if !facts.iter().all(is_float) || op.q_params.is_some() {
            return Ok(None);
        }
        let Some([rows, of_positions, output]) =
            places(&op.axes, [slot, 1 - slot], &facts, Role::Kept)
        else {
            return Ok(None);
        };
        let place = Place::new(facts[slot].rank(), rows[1], rows[0]);
        let rank = op.axes.rank(InOut::Out(0));
        let in_order = rank >= 3 && output == [rank - 3, rank - 2, rank - 1];
        if !in_order || rows[2] != place.rank - 1 {
            return Ok(None);
        }
        let Some(after) = After::of(model, id)? else {
            return Ok(None);
        };
        let isa = Isa::in_use();
        let op = Relative {
            rows: place,
            positions: Arc::new(Positions::new(&positions, of_positions, isa)?),
            scale: after.scale,
            swapped: after.swapped,
            isa,
            cores: Arc::clone(&computing.cores),
        };
        Ok(Some(Self {
            op,
            inputs: tvec!(model.node(id).inputs[slot], after.indices),
            last: after.last,
        }))
    }

    #[cold]
    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &self.inputs, self.op)?.apply(model)
    }
}

impl Positions {
    /// Packs a constant, of which three axes are heads, width and positions, and all
    /// others one long.
    #[cold]
    fn new(tensor: &Tensor, axes: [usize; 3], isa: Isa) -> TractResult<Self> {
        let plain = tensor.try_as_plain_ram()?;
        let values = plain.as_slice::<f32>()?;
        let [heads, width, count] = axes.map(|axis| tensor.shape()[axis]);
        let strides = axes.map(|axis| tensor.shape()[axis + 1..].iter().product::<usize>());
        let head = |head: usize| {
            let places = (0..width * count).map(|place| [head, place / count, place % count]);
            let values = places.map(|[head, row, column]| {
                values[head * strides[0] + row * strides[1] + column * strides[2]]
            });
            let values: Vec<f32> = values.collect();
            let mut panels = Buffer::default();
            product::pack_panels(Rows::dense(&values, count), isa.panel_width(), &mut panels);
            panels
        };
        Ok(Self {
            panels: (0..heads).map(head).collect(),
            count,
        })
    }
}

/// What follows the products.
struct After {
    indices: OutletId,
    swapped: bool,
    scale: f32,
    last: usize,
}

impl After {
    #[cold]
    fn of(model: &TypedModel, products: usize) -> TractResult<Option<Self>> {
        let rank = model.node(products).outputs[0].fact.rank();
        let Some(gather) = only_successor(model, products) else {
            return Ok(None);
        };
        let gathers = gather.op_as::<GatherElements>();
        if gathers.is_none_or(|op| op.axis != rank - 1) || gather.inputs[0].node != products {
            return Ok(None);
        }
        let Some(indices) = indices(model, gather.inputs[1], rank)? else {
            return Ok(None);
        };
        let mut after = Self {
            indices,
            swapped: false,
            scale: 1.0,
            last: gather.id,
        };
        while let Some(node) = only_successor(model, after.last) {
            let same_rank = node.outputs[0].fact.rank() == rank;
            let swap = node.op_as::<AxisOp>().is_some_and(|op| is_swap(op, rank));
            match scalar_factor(model, node.id) {
                Some((_, factor)) if after.scale == 1.0 && same_rank => after.scale = factor,
                None if swap && !after.swapped => after.swapped = true,
                _ => break,
            }
            after.last = node.id;
        }
        Ok(Some(after))
    }
}

fn is_swap(op: &AxisOp, rank: usize) -> bool {
    let (last, before) = (rank - 1, rank - 2);
    *op == AxisOp::Move(before, last) || *op == AxisOp::Move(last, before)
}

/// The integers that say what is taken, from before they are the same for every
/// head.
#[cold]
fn indices(model: &TypedModel, outlet: OutletId, rank: usize) -> TractResult<Option<OutletId>> {
    let node = model.node(outlet.node);
    let before = match node.op_as::<MultiBroadcastTo>() {
        Some(_) => node.inputs[0],
        None => outlet,
    };
    let (of_all, of_one) = (model.outlet_fact(outlet)?, model.outlet_fact(before)?);
    let same_rows = of_one.rank() == rank && of_one.shape[rank - 2..] == of_all.shape[rank - 2..];
    let outlet = if same_rows { before } else { outlet };
    let fact = model.outlet_fact(outlet)?;
    let is_one_text = fact.rank() == rank && fact.shape.iter().take(rank - 3).all(TDim::is_one);
    let is_usable = fact.is_plain() && fact.datum_type == i64::datum_type() && is_one_text;
    Ok(is_usable.then_some(outlet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::fuse;
    use tract_hir::ops::logic::wire_with_rank_broadcast;
    use tract_hir::ops::math;

    const HEADS: usize = 3;
    const WIDTH: usize = 5;
    const POSITIONS: usize = 70;

    fn values(shape: &[usize], seed: usize) -> Tensor {
        let count = shape.iter().product::<usize>();
        let value = |place: usize| ((place + seed) * 7919 % 2003) as f32 / 1001.0 - 1.0;
        let values: Vec<f32> = (0..count).map(value).collect();
        tensor1(&values).into_shape(shape).unwrap()
    }

    /// Rows of `[1, S, HEADS, WIDTH]`, indices of `[1, S, S]` → `[HEADS, S, S]`.
    fn model(swapped: bool, axis: usize) -> TypedModel {
        let mut model = TypedModel::default();
        let length = model.symbols.sym("S").to_dim();
        let fact = f32::fact(dims!(1, length.clone(), HEADS, WIDTH));
        let rows = model.add_source("rows", fact).unwrap();
        let fact = i64::fact(dims!(1, length.clone(), length.clone()));
        let indices = model.add_source("indices", fact).unwrap();
        let positions = values(&[HEADS, WIDTH, POSITIONS], 7);
        let positions = model.add_const("positions", positions).unwrap();
        let product = EinSum::new("bmak,akn->amn".parse().unwrap(), f32::datum_type());
        let product = model.wire_node("product", product, &[rows, positions]);
        let all = MultiBroadcastTo {
            shape: dims!(HEADS, length.clone(), length),
        };
        let indices = model.wire_node("all", all, &[indices]).unwrap()[0];
        let gather = GatherElements::new(axis);
        let inputs = [product.unwrap()[0], indices];
        let mut last = model.wire_node("gather", gather, &inputs).unwrap()[0];
        if swapped {
            last = model
                .wire_node("swap", AxisOp::Move(1, 2), &[last])
                .unwrap()[0];
        }
        let factor = model.add_const("factor", tensor0(0.125f32)).unwrap();
        let inputs = [last, factor];
        let scaled = wire_with_rank_broadcast("scale", &mut model, math::mul(), &inputs);
        model.select_output_outlets(&scaled.unwrap()).unwrap();
        model
    }

    fn has_relative(model: &TypedModel) -> bool {
        model.nodes.iter().any(|node| node.op_is::<Relative>())
    }

    /// The distance of each token from each, about the middle and cut at the ends.
    fn distances(length: usize) -> Tensor {
        let place = |place: usize| i64::try_from(place).unwrap();
        let (middle, last) = (place(POSITIONS / 2), place(POSITIONS) - 1);
        let distance = |at: usize| place(at / length) - place(at % length) + middle;
        let indices = (0..length * length).map(|at| distance(at).clamp(0, last));
        // One that counts from the end.
        let indices: Vec<i64> = indices
            .map(|index| if index == last { -1 } else { index })
            .collect();
        tensor1(&indices).into_shape(&[1, length, length]).unwrap()
    }

    #[test]
    fn scores_by_position_are_those_that_are_gathered() {
        for swapped in [false, true] {
            let plain = model(swapped, 2);
            let mut fused = plain.clone();
            fuse(&mut fused, &Computing::plain()).unwrap();
            assert!(has_relative(&fused) && fused.nodes.len() == 3);
            let models = [plain, fused].map(|model| model.into_runnable().unwrap());
            for length in [1, 2, 13, 40, 90] {
                let rows = values(&[1, length, HEADS, WIDTH], 3);
                let inputs = tvec!(rows.into_tvalue(), distances(length).into_tvalue());
                let [expected, got] = models.each_ref().map(|it| it.run(inputs.clone()).unwrap());
                let close = Approximation::SuperApproximate;
                let close = got[0].close_enough(&expected[0], close);
                close.unwrap_or_else(|error| panic!("{length} tokens, {swapped}: {error:?}"));
            }
        }
    }

    #[test]
    fn indices_beyond_the_positions_are_refused() {
        let mut model = model(false, 2);
        fuse(&mut model, &Computing::plain()).unwrap();
        let model = model.into_runnable().unwrap();
        for index in [POSITIONS as i64, -1 - POSITIONS as i64] {
            let rows = values(&[1, 1, HEADS, WIDTH], 3);
            let indices = tensor1(&[index]).into_shape(&[1, 1, 1]).unwrap();
            let result = model.run(tvec!(rows.into_tvalue(), indices.into_tvalue()));
            assert!(result.is_err(), "{index}");
        }
    }

    #[test]
    fn what_is_gathered_along_another_axis_is_left() {
        let mut model = model(false, 1);
        fuse(&mut model, &Computing::plain()).unwrap();
        assert!(!has_relative(&model));
    }
}
