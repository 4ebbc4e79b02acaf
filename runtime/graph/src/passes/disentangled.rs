//! Recognises the bias of DeBERTa's disentangled attention: products with the vectors of
//! all relative positions, of which every column takes one.

use super::einsum_axes::{Role, places};
use super::pattern::{constant_input, only_successor, scalar_factor};
use crate::ops::Backend;
use crate::ops::disentangled::DisentangledBias;
use crate::ops::head_layout::HeadLayout;
use encoderfile_kernels::{Isa, PositionTable};
use tract_core::internal::*;
use tract_core::ops::array::{GatherElements, MultiBroadcastTo};
use tract_core::ops::change_axes::AxisOp;
use tract_core::ops::einsum::EinSum;

/// The products, what is taken of them, and a factor, in a model.
pub(super) struct Match {
    op: DisentangledBias,
    inputs: TVec<OutletId>,
    last: usize,
}

impl Match {
    /// What begins at the node `id`, a product with constants.
    pub(super) fn at(
        model: &TypedModel,
        id: usize,
        backend: &Backend,
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
        let layout = HeadLayout::new(facts[slot].rank(), rows[1], rows[0]);
        let rank = op.axes.rank(InOut::Out(0));
        let in_order = rank >= 3 && output == [rank - 3, rank - 2, rank - 1];
        if !in_order || rows[2] != layout.rank - 1 {
            return Ok(None);
        }
        let Some(after) = After::of(model, id)? else {
            return Ok(None);
        };
        let op = DisentangledBias {
            rows: layout,
            table: Arc::new(table(&positions, of_positions, backend.isa)?),
            scale: after.scale,
            transposed: after.transposed,
            backend: backend.clone(),
        };
        Ok(Some(Self {
            op,
            inputs: tvec!(model.node(id).inputs[slot], after.indices),
            last: after.last,
        }))
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &self.inputs, self.op)?.apply(model)
    }
}

/// Packs a constant, of which three axes are heads, width and positions, and all others
/// one long. In that order it needs no copy.
fn table(tensor: &Tensor, axes: [usize; 3], isa: Isa) -> TractResult<PositionTable> {
    let plain = tensor.try_as_plain_ram()?;
    let values = plain.as_slice::<f32>()?;
    let shape = axes.map(|axis| tensor.shape()[axis]);
    let [head, width, position] =
        axes.map(|axis| tensor.shape()[axis + 1..].iter().product::<usize>());
    let [heads, widths, positions] = shape;
    if [head, width, position] == [widths * positions, positions, 1] {
        return Ok(PositionTable::new(isa, values, shape)?);
    }
    let mut row_major = Vec::with_capacity(values.len());
    for at_head in 0..heads {
        for at_width in 0..widths {
            let start = at_head * head + at_width * width;
            let row = (0..positions).map(|at| values[start + at * position]);
            row_major.extend(row);
        }
    }
    Ok(PositionTable::new(isa, &row_major, shape)?)
}

/// What follows the products.
struct After {
    indices: OutletId,
    transposed: bool,
    scale: f32,
    last: usize,
}

impl After {
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
            transposed: false,
            scale: 1.0,
            last: gather.id,
        };
        while let Some(node) = only_successor(model, after.last) {
            let same_rank = node.outputs[0].fact.rank() == rank;
            let swap = node.op_as::<AxisOp>().is_some_and(|op| is_swap(op, rank));
            match scalar_factor(model, node.id) {
                Some((_, factor)) if after.scale == 1.0 && same_rank => after.scale = factor,
                None if swap && !after.transposed => after.transposed = true,
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
    use crate::passes::fuse;
    use tract_core::internal::wire_with_rank_broadcast;
    use tract_core::ops::math;

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
    fn model(transposed: bool, axis: usize) -> TypedModel {
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
        if transposed {
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

    fn has_bias(model: &TypedModel) -> bool {
        model
            .nodes
            .iter()
            .any(|node| node.op_is::<DisentangledBias>())
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
        for transposed in [false, true] {
            let plain = model(transposed, 2);
            let mut fused = plain.clone();
            fuse(&mut fused, &Backend::of_tests()).unwrap();
            assert!(has_bias(&fused) && fused.nodes.len() == 3);
            let models = [plain, fused].map(|model| model.into_runnable().unwrap());
            for length in [1, 2, 13, 40, 90] {
                let rows = values(&[1, length, HEADS, WIDTH], 3);
                let inputs = tvec!(rows.into_tvalue(), distances(length).into_tvalue());
                let [expected, got] = models.each_ref().map(|it| it.run(inputs.clone()).unwrap());
                let close = Approximation::SuperApproximate;
                let close = got[0].close_enough(&expected[0], close);
                close.unwrap_or_else(|error| panic!("{length} tokens, {transposed}: {error:?}"));
            }
        }
    }

    #[test]
    fn indices_beyond_the_positions_are_refused() {
        let mut model = model(false, 2);
        fuse(&mut model, &Backend::of_tests()).unwrap();
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
        fuse(&mut model, &Backend::of_tests()).unwrap();
        assert!(!has_bias(&model));
    }
}
