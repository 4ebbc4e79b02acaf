//! Recognises the bias of DeBERTa's disentangled attention: products with the vectors of
//! all relative positions, of which every column takes one.

use super::einsum_axes::{Role, places};
use super::pattern::{constant_input, only_successor, scalar_factor};
use crate::ops::Backend;
use crate::ops::disentangled::{DisentangledBias, PositionTable};
use crate::ops::head_layout::HeadLayout;
use crate::ops::stored_tensor::StoredTensor;
use crate::ops::weights::LinearWeights;
use encoderfile_format::manifest::Compute;
use encoderfile_format::weights::WeightsEncoding;
use encoderfile_kernels::Order;
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
        let Some((positions, slot)) = Positions::of(model, id) else {
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
            table: Arc::new(positions.table(of_positions, backend)?),
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

/// The vectors of all relative positions.
enum Positions {
    Constant(Arc<Tensor>),
    Stored(StoredTensor),
}

impl Positions {
    /// What a product of two is with, and the place of what else goes into it.
    fn of(model: &TypedModel, id: usize) -> Option<(Self, usize)> {
        if let Some((tensor, slot)) = constant_input(model, id) {
            return Some((Self::Constant(tensor), slot));
        }
        let [first, second] = &*model.node(id).inputs else {
            return None;
        };
        let stored = |outlet: &OutletId| model.node(outlet.node).op_as::<StoredTensor>().cloned();
        match (stored(first), stored(second)) {
            (None, Some(tensor)) => Some((Self::Stored(tensor), 0)),
            (Some(tensor), None) => Some((Self::Stored(tensor), 1)),
            _ => None,
        }
    }

    /// Of axes, three are heads, width and positions, and all others one long. What is stored in that
    /// order is used where it is.
    fn table(&self, axes: [usize; 3], backend: &Backend) -> TractResult<PositionTable> {
        let backend = Backend {
            compute: Compute::F32,
            ..backend.clone()
        };
        let tensor = match self {
            Self::Constant(tensor) => Arc::clone(tensor),
            Self::Stored(stored) => {
                let heads = stored.heads(axes);
                match heads.filter(|_| stored.matrix.encoding() == WeightsEncoding::F32) {
                    Some(heads) => {
                        let vectors = LinearWeights::read(&stored.matrix, &backend)?;
                        return Ok(PositionTable { vectors, heads });
                    }
                    None => stored.take()?,
                }
            }
        };
        packed(&tensor, axes, &backend)
    }
}

/// Packs a constant. In the order of heads, width and positions it needs no copy.
fn packed(tensor: &Tensor, axes: [usize; 3], backend: &Backend) -> TractResult<PositionTable> {
    let plain = tensor.try_as_plain_ram()?;
    let values = plain.as_slice::<f32>()?;
    let [heads, widths, positions] = axes.map(|axis| tensor.shape()[axis]);
    let [head, width, position] =
        axes.map(|axis| tensor.shape()[axis + 1..].iter().product::<usize>());
    let pack = |values: &[f32]| -> TractResult<PositionTable> {
        let vectors = LinearWeights::new(values, heads * widths, Order::Rows, backend)?;
        Ok(PositionTable { vectors, heads })
    };
    if [head, width, position] == [widths * positions, positions, 1] {
        return pack(values);
    }
    let mut row_major = Vec::with_capacity(values.len());
    for at_head in 0..heads {
        for at_width in 0..widths {
            let start = at_head * head + at_width * width;
            let row = (0..positions).map(|at| values[start + at * position]);
            row_major.extend(row);
        }
    }
    pack(&row_major)
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
    use crate::ops::weights::tests::{Memory, in_panels};
    use crate::passes::fuse;
    use encoderfile_format::source::Source;
    use encoderfile_format::weights::{External, Layout};
    use encoderfile_proto::onnx::TensorProto;
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
        let positions = values(&[HEADS, WIDTH, POSITIONS], 7);
        model_of(Positions::Constant(positions.into()), transposed, axis)
    }

    fn model_of(positions: Positions, transposed: bool, axis: usize) -> TypedModel {
        let mut model = TypedModel::default();
        let length = model.symbols.sym("S").to_dim();
        let fact = f32::fact(dims!(1, length.clone(), HEADS, WIDTH));
        let rows = model.add_source("rows", fact).unwrap();
        let fact = i64::fact(dims!(1, length.clone(), length.clone()));
        let indices = model.add_source("indices", fact).unwrap();
        let positions = match positions {
            Positions::Constant(tensor) => model.add_const("positions", tensor).unwrap(),
            Positions::Stored(stored) => model.wire_node("positions", stored, &[]).unwrap()[0],
        };
        let shape = model.outlet_fact(positions).unwrap().shape.as_concrete();
        let axes = match shape.unwrap().last() {
            Some(&WIDTH) => "bmak,ank->amn",
            _ => "bmak,akn->amn",
        };
        let product = EinSum::new(axes.parse().unwrap(), f32::datum_type());
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

    /// The values of [`model`] in a payload, or those with the axes of width and positions swapped.
    fn stored(layout: Layout, swapped: bool, mapped: bool) -> StoredTensor {
        let tensor = values(&[HEADS, WIDTH, POSITIONS], 7);
        let tensor = match swapped {
            true => tensor.permute_axes(&[0, 2, 1]).unwrap(),
            false => tensor,
        };
        let plain = tensor.try_as_plain_ram().unwrap();
        let rows = plain.as_slice::<f32>().unwrap();
        let columns = tensor.shape()[2];
        let memory = match layout {
            Layout::Rows => Memory::new(rows, mapped),
            Layout::Panels => Memory::new(&in_panels(rows, columns), mapped),
        };
        let place = External {
            length: memory.len(),
            layout,
            ..External::default()
        };
        let lengths = tensor.shape().iter();
        let proto = TensorProto {
            name: "positions".into(),
            dims: lengths.map(|it| i64::try_from(*it).unwrap()).collect(),
            ..TensorProto::default()
        };
        let weights: Arc<dyn Source> = Arc::new(memory);
        StoredTensor::new(&proto, &place, &weights).unwrap()
    }

    /// As [`Layout::Rows`] and [`Layout::Panels`], with axes in either order, mapped and not.
    fn each_stored() -> impl Iterator<Item = StoredTensor> {
        let flags = [(false, false), (false, true), (true, false), (true, true)];
        let layouts = [Layout::Rows, Layout::Panels].into_iter();
        layouts.flat_map(move |layout| {
            let flags = flags.into_iter();
            flags.map(move |(swapped, mapped)| stored(layout, swapped, mapped))
        })
    }

    #[test]
    fn stored_vectors_of_positions_are_the_constant_ones() {
        let result = |mut model: TypedModel| {
            fuse(&mut model, &Backend::of_tests()).unwrap();
            assert!(has_bias(&model) && model.nodes.len() == 3);
            let model = model.into_runnable().unwrap();
            let rows = values(&[1, 40, HEADS, WIDTH], 3).into_tvalue();
            let outputs = model.run(tvec!(rows, distances(40).into_tvalue()));
            outputs.unwrap()[0].clone().into_tensor()
        };
        let expected = result(model(false, 2));
        for stored in each_stored() {
            let got = result(model_of(Positions::Stored(stored), false, 2));
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn stored_tensors_that_no_pass_takes_are_constants() {
        let expected = values(&[HEADS, WIDTH, POSITIONS], 7);
        for stored in each_stored() {
            let mut model = model_of(Positions::Stored(stored), false, 1);
            fuse(&mut model, &Backend::of_tests()).unwrap();
            let constants = model.nodes.iter().filter(|node| node.name == "positions");
            let constants: Vec<Arc<Tensor>> = constants
                .map(|node| node.outputs[0].fact.konst.clone().unwrap())
                .collect();
            let [constant] = &*constants else {
                panic!("{constants:?}")
            };
            let is_swapped = constant.shape()[2] == WIDTH;
            let constant = Tensor::clone(constant);
            let constant = match is_swapped {
                true => constant.permute_axes(&[0, 2, 1]).unwrap(),
                false => constant,
            };
            assert_eq!(constant, expected);
            model.into_runnable().unwrap();
        }
    }

    #[test]
    fn stored_panels_are_used_where_they_are() {
        let backend = Backend::of_tests();
        let table = |layout, mapped| {
            let positions = Positions::Stored(stored(layout, false, mapped));
            positions.table([0, 1, 2], &backend).unwrap()
        };
        assert!(table(Layout::Panels, true).vectors.are_mapped());
        assert!(!table(Layout::Panels, false).vectors.are_mapped());
        assert!(!table(Layout::Rows, true).vectors.are_mapped());
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
