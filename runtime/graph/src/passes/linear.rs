//! Recognises linear layers: products with a constant matrix, with the bias and the GELU
//! after them, and reshapes before and after that need not be computed. Those of one input
//! become one operator.
//!
//! **Invariant:** a constant that was packed is gone from the model.

use super::pattern::{constant_input, is_binary, is_gelu, only_successor, single};
use crate::ops::Backend;
use crate::ops::linear::{Axis, Linear, LinearGroup};
use crate::ops::weights::LinearWeights;
use encoderfile_kernels::{Activation, Order};
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::konst::Const;
use tract_core::ops::math::{Add, Mul};

/// A product with a constant in a model.
pub(super) struct Match {
    id: usize,
    /// The constant's place among the product's inputs.
    constant: usize,
    layout: Layout,
}

/// How a constant is a matrix of the product.
#[derive(Debug, PartialEq)]
struct Layout {
    depth: usize,
    order: Order,
    output: TVec<Axis>,
}

impl Match {
    /// What the node `id` is.
    pub(super) fn at(model: &TypedModel, id: usize) -> TractResult<Option<Self>> {
        let Some(op) = model.node(id).op_as::<EinSum>() else {
            return Ok(None);
        };
        let Some((weights, data)) = constant_input(model, id) else {
            return Ok(None);
        };
        let facts = model.node_input_facts(id)?;
        let is_float = |fact: &&TypedFact| fact.is_plain() && fact.datum_type == f32::datum_type();
        let are_floats = facts.iter().all(is_float) && op.q_params.is_none();
        if weights.len() == 0 {
            return Ok(None);
        }
        let layout = Layout::of(&op.axes, data, facts[data], weights.shape());
        Ok(layout.filter(|_| are_floats).map(|layout| Self {
            id,
            constant: 1 - data,
            layout,
        }))
    }

    pub(super) fn replace(
        self,
        model: &mut TypedModel,
        cache: &mut WeightCache<'_>,
    ) -> TractResult<()> {
        let product = model.node(self.id);
        let constant = product.inputs[self.constant];
        let data = product.inputs[1 - self.constant];
        let Layout { depth, order, .. } = self.layout;
        let weights = cache.weights(model, constant, depth, order)?;
        let op = Linear::plain(weights, self.layout.output);
        TypedModelPatch::replace_single_op(model, product, &[data], op)?.apply(model)?;
        cache.release(model, constant)
    }
}

/// An int8 product of what is multiplied by a factor for each column: smoothing, which the
/// builder writes as a `Mul`.
pub(super) struct SmoothingMatch {
    product: usize,
    input: OutletId,
    factors: Arc<[f32]>,
}

impl SmoothingMatch {
    /// What is before the node `id`, if that is such a product.
    pub(super) fn of(model: &TypedModel, id: usize) -> Option<Self> {
        let node = model.node(id);
        let op = node.op_as::<Linear>()?;
        let before = model.node(node.inputs[0].node);
        if !op.weights.are_int8() || !is_binary::<Mul>(before) {
            return None;
        }
        let (factors, data) = constant_input(model, before.id)?;
        Some(Self {
            product: id,
            input: before.inputs[data],
            factors: row(&factors, op.weights.depth())?.into(),
        })
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let product = model.node(self.product);
        let op = product.op_as::<Linear>();
        let op = Linear {
            smoothing: Some(self.factors),
            ..op.context("checked above")?.clone()
        };
        TypedModelPatch::replace_single_op(model, product, &[self.input], op)?.apply(model)
    }
}

/// What is computed of a product alone.
pub(super) struct EpilogueMatch {
    product: usize,
    /// Whose output is replaced.
    last: usize,
    bias: Option<Vec<f32>>,
    activation: Activation,
}

impl EpilogueMatch {
    /// What comes after the node `id`, if that is a product without an activation.
    pub(super) fn of(model: &TypedModel, id: usize) -> Option<Self> {
        let op = model.node(id).op_as::<Linear>()?;
        if op.activation != Activation::None {
            return None;
        }
        let bias = bias_after(model, id, op.weights.columns()).filter(|_| op.is_plain());
        let last = bias.as_ref().map_or(id, |(node, _)| *node);
        let gelu = only_successor(model, last).filter(|node| is_gelu(node));
        let last = gelu.map_or(last, |node| node.id);
        (last != id).then(|| Self {
            product: id,
            last,
            bias: bias.map(|(_, bias)| bias),
            activation: gelu.map_or(Activation::None, |_| Activation::Gelu),
        })
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let product = model.node(self.product);
        let op = product.op_as::<Linear>();
        let mut op = op.context("checked above")?.clone();
        op.activation = self.activation;
        if let Some(mut bias) = self.bias {
            bias.resize(op.bias.len(), 0.0);
            op.bias = bias.into();
        }
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &product.inputs, op)?.apply(model)
    }
}

/// A product with whatever only cuts its rows, or its results, into other axes.
pub(super) struct FoldedReshape {
    product: usize,
    input: OutletId,
    /// Whose output is replaced.
    last: usize,
    output: TVec<Axis>,
}

impl FoldedReshape {
    /// What is before and after the node `id`, if that is a product.
    pub(super) fn of(model: &TypedModel, id: usize) -> Option<Self> {
        let node = model.node(id);
        let op = node.op_as::<Linear>()?;
        let before = op.before_join(model.node(node.inputs[0].node));
        let after = only_successor(model, id);
        let after = after.and_then(|after| Some((after.id, op.reshaped(after)?)));
        if before.is_none() && after.is_none() {
            return None;
        }
        let (last, output) = after.unwrap_or_else(|| (id, op.output.clone()));
        Some(Self {
            product: id,
            input: before.unwrap_or(node.inputs[0]),
            last,
            output,
        })
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let op = model.node(self.product).op_as::<Linear>();
        let op = Linear {
            output: self.output,
            ..op.context("checked above")?.clone()
        };
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &[self.input], op)?.apply(model)
    }
}

/// Linear layers of one input, whose rows are packed alike.
pub(super) struct GroupMatch {
    input: OutletId,
    nodes: Vec<usize>,
}

impl GroupMatch {
    /// Those of the input of the node `id`, if that is a linear layer and others are.
    pub(super) fn of(model: &TypedModel, id: usize) -> Option<Self> {
        let node = model.node(id);
        let first = node.op_as::<Linear>()?;
        let input = node.inputs[0];
        let successors = &model.node(input.node).outputs[input.slot].successors;
        let is_alike = |it: &usize| {
            let op = model.node(*it).op_as::<Linear>();
            op.is_some_and(|op| first.packs_as(op)) && is_used(model, *it)
        };
        let nodes = successors.iter().map(|successor| successor.node);
        let nodes: Vec<usize> = nodes.filter(is_alike).collect();
        (nodes.len() > 1).then_some(Self { input, nodes })
    }

    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let layers = self.nodes.iter().filter_map(|id| model.node(*id).op_as());
        let layers: TVec<Linear> = layers.cloned().collect();
        let name = format!("{}.group", model.node(self.nodes[0]).name);
        let mut patch = TypedModelPatch::default();
        let input = patch.tap_model(model, self.input)?;
        let outputs = patch.wire_node(name, LinearGroup { layers }, &[input])?;
        for (id, output) in self.nodes.into_iter().zip(outputs) {
            patch.shunt_outside(model, id.into(), output)?;
        }
        patch.apply(model)
    }
}

/// Whether anybody takes what a node gives: nobody does after it was replaced.
fn is_used(model: &TypedModel, id: usize) -> bool {
    let mut outputs = model.node(id).outputs.iter();
    model.outputs.contains(&id.into()) || outputs.any(|output| !output.successors.is_empty())
}

impl Linear {
    /// The input of a node before that joins axes to those that are multiplied.
    fn before_join(&self, node: &TypedNode) -> Option<OutletId> {
        let AxisOp::Reshape(at, _, to) = node.op_as::<AxisOp>()? else {
            return None;
        };
        let is_before = |axis: &Axis| !matches!(axis, Axis::Input(axis) if axis >= at);
        let is_depth = **to == [self.weights.depth().to_dim()];
        (is_depth && self.output.iter().all(is_before)).then(|| node.inputs[0])
    }

    /// The output's axes after a node that cuts some of fixed lengths otherwise.
    fn reshaped(&self, node: &TypedNode) -> Option<TVec<Axis>> {
        let AxisOp::Reshape(at, from, to) = node.op_as::<AxisOp>()? else {
            return None;
        };
        let (before, rest) = self.output.split_at_checked(*at)?;
        let (cut, after) = rest.split_at_checked(from.len())?;
        let is_fixed = |axis: &Axis| matches!(axis, Axis::Fixed(_));
        let fixed = |length: &TDim| Some(Axis::Fixed(length.to_usize().ok()?));
        let to = to.iter().map(fixed).collect::<Option<TVec<Axis>>>()?;
        let axes = before.iter().chain(&to).chain(after).copied();
        cut.iter().all(is_fixed).then(|| axes.collect())
    }
}

/// Constants that were packed, which several products may have: ALBERT's layers
/// do.
pub(super) struct WeightCache<'a> {
    backend: &'a Backend,
    packed: HashMap<(OutletId, usize, Order), Arc<LinearWeights>>,
    /// How many nodes still have a constant.
    needed: HashMap<OutletId, usize>,
}

impl<'a> WeightCache<'a> {
    pub(super) fn new(backend: &'a Backend) -> Self {
        Self {
            backend,
            packed: HashMap::new(),
            needed: HashMap::new(),
        }
    }

    fn weights(
        &mut self,
        model: &TypedModel,
        constant: OutletId,
        depth: usize,
        order: Order,
    ) -> TractResult<Arc<LinearWeights>> {
        let key = (constant, depth, order);
        if let Some(weights) = self.packed.get(&key) {
            return Ok(Arc::clone(weights));
        }
        let tensor = model.outlet_fact(constant)?.konst.clone();
        let tensor = tensor.context("a constant")?;
        let plain = tensor.try_as_plain_ram()?;
        let weights = LinearWeights::new(plain.as_slice()?, depth, order, self.backend)?;
        let weights = Arc::new(weights);
        self.packed.insert(key, Arc::clone(&weights));
        let node = model.node(constant.node);
        let needed = node.outputs[constant.slot].successors.len();
        self.needed.entry(constant).or_insert(needed);
        Ok(weights)
    }

    /// Frees a constant when the last node that had it has been replaced.
    fn release(&mut self, model: &mut TypedModel, constant: OutletId) -> TractResult<()> {
        let Some(needed) = self.needed.get_mut(&constant) else {
            return Ok(());
        };
        *needed -= 1;
        if *needed == 0 && model.node(constant.node).op_is::<Const>() {
            let nothing = tensor0(0f32).into_arc_tensor();
            model.set_outlet_fact(constant, TypedFact::try_from(Arc::clone(&nothing))?)?;
            model.nodes[constant.node].op = Box::new(Const::new(nothing)?);
        }
        Ok(())
    }
}

/// A bias that is all that is added to a product.
fn bias_after(model: &TypedModel, id: usize, columns: usize) -> Option<(usize, Vec<f32>)> {
    let node = only_successor(model, id)?;
    let op = node.op_as::<TypedBinOp>()?;
    let (bias, _) = constant_input(model, node.id).filter(|_| op.0.is::<Add>())?;
    let same_shape = node.outputs[0].fact.shape == model.node(id).outputs[0].fact.shape;
    let bias = row(&bias, columns)?;
    same_shape.then_some((node.id, bias))
}

/// The values of a constant that is the same for each row of so many columns.
fn row(constant: &Tensor, columns: usize) -> Option<Vec<f32>> {
    // What is a row here is one there: the same axes, from the last on.
    let is_row = constant.shape().iter().rev().skip(1).all(|it| *it == 1)
        && constant.shape().last() == Some(&columns);
    if !is_row || constant.datum_type() != f32::datum_type() {
        return None;
    }
    let plain = constant.try_as_plain_ram().ok()?;
    Some(plain.as_slice().ok()?.to_vec())
}

impl Layout {
    /// If rows of the data are multiplied by a matrix, and are rows of the output.
    fn of(axes: &AxesMapping, data: usize, fact: &TypedFact, weights: &[usize]) -> Option<Self> {
        let constant = 1 - data;
        let mut output = tvec!(Axis::Fixed(1); axes.rank(InOut::Out(0)));
        // For each axis its place in the data, in the constant, and in the output.
        let (mut rows, mut depths, mut columns) = (vec![], vec![], vec![]);
        for axis in axes.iter_all_axes() {
            let of_data = single(&axis.inputs[data])?;
            let of_data = of_data.filter(|place| !fact.shape[*place].is_one());
            let of_constant = single(&axis.inputs[constant])?;
            let of_constant = of_constant.filter(|place| weights[*place] != 1);
            let of_output = single(&axis.outputs[0])?;
            match (of_data, of_constant, of_output) {
                (Some(data), None, Some(place)) => {
                    output[place] = Axis::Input(data);
                    rows.push((data, place));
                }
                (Some(data), Some(constant), None) => depths.push((data, constant)),
                (None, Some(constant), Some(place)) => {
                    output[place] = Axis::Fixed(weights[constant]);
                    columns.push((constant, place));
                }
                // An axis of one.
                (None, None, _) => {}
                _ => return None,
            }
        }
        rows.sort_unstable();
        depths.sort_unstable();
        columns.sort_unstable();
        let first_depth = depths.first()?;
        let first_column = columns.first()?;
        let transposed = first_column.0 < first_depth.1;
        let in_order = is_increasing(rows.iter().chain(&columns).map(|axis| axis.1))
            && is_increasing(rows.iter().chain(&depths).map(|axis| axis.0))
            && is_increasing(depths.iter().map(|axis| axis.1))
            && if transposed {
                columns.last()?.0 < first_depth.1
            } else {
                depths.last()?.1 < first_column.0
            };
        in_order.then(|| Self {
            depth: depths.iter().map(|axis| weights[axis.1]).product(),
            order: if transposed {
                Order::Columns
            } else {
                Order::Rows
            },
            output,
        })
    }
}

fn is_increasing(places: impl Iterator<Item = usize>) -> bool {
    let places: Vec<usize> = places.collect();
    places.is_sorted_by(|before, after| before < after)
}
