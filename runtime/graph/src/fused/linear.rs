//! A product with a constant matrix, with the bias and the activation after it.
//!
//! **Invariant:** the weights are held once, packed; the constant they are from
//! is gone from the model.

use super::activation::Activation;
use super::weights::Weights;
use super::{Computing, constant_input, only_successor};
use encoderfile_format::weights::{Matrix, WeightsError};
use std::sync::OnceLock;
use tract_hir::internal::*;
use tract_hir::tract_core::ops::binary::TypedBinOp;
use tract_hir::tract_core::ops::einsum::EinSum;
use tract_hir::tract_core::ops::element_wise::ElementWiseOp;
use tract_hir::tract_core::ops::konst::Const;
use tract_hir::tract_core::ops::math::Add;
use tract_hir::tract_core::ops::nn::gelu_exact::GeluExact;

/// `activation(input · weights + bias)`: `[rows, depth]` → `[rows, columns]`.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    weights: Arc<Weights>,
    /// For each column of a panel: zeros where there is none.
    biases: Arc<[f32]>,
    activation: Activation,
    output: TVec<Axis>,
}

/// Where an axis of the output has its length from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Input(usize),
    Fixed(usize),
}

impl PartialEq for Linear {
    fn eq(&self, other: &Self) -> bool {
        let both = [self, other];
        let [this, other] = both.map(|it| (&it.biases, it.activation, &it.output));
        Arc::ptr_eq(&both[0].weights, &both[1].weights) && this == other
    }
}

impl Eq for Linear {}

impl Op for Linear {
    fn name(&self) -> StaticName {
        "Linear".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Linear {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let length = |axis: &Axis| match *axis {
            Axis::Input(axis) => inputs[0].shape[axis].clone(),
            Axis::Fixed(length) => length.to_dim(),
        };
        let shape: TVec<TDim> = self.output.iter().map(length).collect();
        Ok(tvec!(f32::fact(&shape)))
    }

    as_op!();
}

impl EvalOp for Linear {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let length = |axis: &Axis| match *axis {
            Axis::Input(axis) => input.shape()[axis],
            Axis::Fixed(length) => length,
        };
        let shape: TVec<usize> = self.output.iter().map(length).collect();
        let (depth, columns) = (self.weights.depth(), self.weights.columns());
        let length = shape.iter().product::<usize>();
        ensure!(
            input.len() * columns == length * depth,
            "rows of {:?} times {depth} × {columns}",
            input.shape()
        );
        // SAFETY: every value is written below: as checked, a row for each of the input's.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        {
            let input = input.try_as_plain_ram()?;
            let mut plain = output.try_as_plain_ram_mut()?;
            let (input, output) = (input.as_slice()?, plain.as_slice_mut()?);
            self.weights
                .multiply(input, &self.biases, self.activation, output);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

/// A matrix in the payload that tensors are multiplied by: `MatMul`'s second input.
///
/// It is packed from there, and is no constant of the graph at all.
#[derive(Clone, Debug)]
pub(crate) struct Factor {
    matrix: Arc<Matrix>,
    computing: Computing,
    /// The same for all products with it.
    weights: Arc<OnceLock<Arc<Weights>>>,
}

impl Factor {
    pub(crate) fn new(matrix: Matrix, computing: Computing) -> Self {
        Self {
            matrix: Arc::new(matrix),
            computing,
            weights: Arc::default(),
        }
    }

    fn weights(&self) -> Result<Arc<Weights>, WeightsError> {
        if let Some(weights) = self.weights.get() {
            return Ok(Arc::clone(weights));
        }
        let weights = Arc::new(Weights::read(&self.matrix, &self.computing)?);
        Ok(Arc::clone(self.weights.get_or_init(|| weights)))
    }
}

impl Expansion for Factor {
    fn name(&self) -> StaticName {
        "Linear".into()
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        let mut output: TVec<Axis> = (0..rank).map(Axis::Input).collect();
        output[rank - 1] = Axis::Fixed(self.matrix.columns());
        let op = Linear::plain(self.weights()?, output);
        model.wire_node(prefix, op, &inputs[..1])
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, f32::datum_type())?;
        solver.equals(&outputs[0].datum_type, f32::datum_type())?;
        solver.given(&inputs[0].shape, move |solver, mut shape| {
            let [.., last] = &mut *shape else {
                bail!("a number is not multiplied by {:?}", self.matrix)
            };
            let depth = std::mem::replace(last, self.matrix.columns().to_dim());
            ensure!(
                depth == self.matrix.rows().to_dim(),
                "{depth} values are not multiplied by {:?}",
                self.matrix
            );
            solver.equals(&outputs[0].shape, shape)
        })
    }
}

impl Linear {
    /// Without a bias or an activation.
    fn plain(weights: Arc<Weights>, output: TVec<Axis>) -> Self {
        let biases = vec![0.0; weights.width()].into();
        Self {
            weights,
            biases,
            activation: Activation::None,
            output,
        }
    }

    #[cfg(test)]
    pub(super) fn has_weights_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights)
    }
}

/// A product with a constant in a model.
pub(super) struct Found {
    id: usize,
    /// The constant's place among the product's inputs.
    constant: usize,
    layout: Layout,
}

/// How a constant is a matrix of the product.
#[derive(Debug, PartialEq)]
struct Layout {
    depth: usize,
    transposed: bool,
    output: TVec<Axis>,
}

impl Found {
    /// What the node `id` is.
    #[cold]
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

    #[cold]
    pub(super) fn replace(
        self,
        model: &mut TypedModel,
        shared: &mut Shared<'_>,
    ) -> TractResult<()> {
        let product = model.node(self.id);
        let constant = product.inputs[self.constant];
        let data = product.inputs[1 - self.constant];
        let Layout {
            depth, transposed, ..
        } = self.layout;
        let weights = shared.weights(model, constant, depth, transposed)?;
        let op = Linear::plain(weights, self.layout.output);
        TypedModelPatch::replace_single_op(model, product, &[data], op)?.apply(model)?;
        shared.release(model, constant)
    }
}

/// What is computed of a product alone.
pub(super) struct Tail {
    product: usize,
    /// Whose output is replaced.
    last: usize,
    bias: Option<Vec<f32>>,
    activation: Activation,
}

impl Tail {
    /// What comes after the node `id`, if that is a product without anything else.
    #[cold]
    pub(super) fn of(model: &TypedModel, id: usize) -> Option<Self> {
        let op = model.node(id).op_as::<Linear>()?;
        let bias = bias_after(model, id, op.weights.columns());
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

    #[cold]
    pub(super) fn replace(self, model: &mut TypedModel) -> TractResult<()> {
        let product = model.node(self.product);
        let op = product.op_as::<Linear>();
        let mut op = op.context("checked above")?.clone();
        op.activation = self.activation;
        if let Some(mut biases) = self.bias {
            biases.resize(op.biases.len(), 0.0);
            op.biases = biases.into();
        }
        let last = model.node(self.last);
        TypedModelPatch::replace_single_op(model, last, &product.inputs, op)?.apply(model)
    }
}

/// A product with whatever only cuts its rows, or its results, into other axes.
pub(super) struct Reshaped {
    product: usize,
    input: OutletId,
    /// Whose output is replaced.
    last: usize,
    output: TVec<Axis>,
}

impl Reshaped {
    /// What is before and after the node `id`, if that is a product.
    #[cold]
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

    #[cold]
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

impl Linear {
    /// The input of a node before that joins axes to those that are multiplied.
    #[cold]
    fn before_join(&self, node: &TypedNode) -> Option<OutletId> {
        let AxisOp::Reshape(at, _, to) = node.op_as::<AxisOp>()? else {
            return None;
        };
        let is_before = |axis: &Axis| !matches!(axis, Axis::Input(axis) if axis >= at);
        let is_depth = **to == [self.weights.depth().to_dim()];
        (is_depth && self.output.iter().all(is_before)).then(|| node.inputs[0])
    }

    /// The output's axes after a node that cuts some of fixed lengths otherwise.
    #[cold]
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
pub(super) struct Shared<'a> {
    computing: &'a Computing,
    packed: HashMap<(OutletId, usize, bool), Arc<Weights>>,
    /// How many nodes still have a constant.
    needed: HashMap<OutletId, usize>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(computing: &'a Computing) -> Self {
        Self {
            computing,
            packed: HashMap::new(),
            needed: HashMap::new(),
        }
    }

    #[cold]
    fn weights(
        &mut self,
        model: &TypedModel,
        constant: OutletId,
        depth: usize,
        transposed: bool,
    ) -> TractResult<Arc<Weights>> {
        let key = (constant, depth, transposed);
        if let Some(weights) = self.packed.get(&key) {
            return Ok(Arc::clone(weights));
        }
        let tensor = model.outlet_fact(constant)?.konst.clone();
        let tensor = tensor.context("a constant")?;
        let plain = tensor.try_as_plain_ram()?;
        let weights = Weights::new(plain.as_slice()?, depth, transposed, self.computing);
        let weights = Arc::new(weights);
        self.packed.insert(key, Arc::clone(&weights));
        let node = model.node(constant.node);
        let needed = node.outputs[constant.slot].successors.len();
        self.needed.entry(constant).or_insert(needed);
        Ok(weights)
    }

    /// Frees a constant when the last node that had it has been replaced.
    #[cold]
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
#[cold]
fn bias_after(model: &TypedModel, id: usize, columns: usize) -> Option<(usize, Vec<f32>)> {
    let node = only_successor(model, id)?;
    let op = node.op_as::<TypedBinOp>()?;
    let (bias, _) = constant_input(model, node.id).filter(|_| op.0.is::<Add>())?;
    // What is a row here is one there: the same axes, from the last on.
    let is_row = bias.shape().iter().rev().skip(1).all(|length| *length == 1)
        && bias.shape().last() == Some(&columns);
    let is_float = bias.datum_type() == f32::datum_type();
    let same_shape = node.outputs[0].fact.shape == model.node(id).outputs[0].fact.shape;
    if !(is_row && is_float && same_shape) {
        return None;
    }
    let plain = bias.try_as_plain_ram().ok()?;
    Some((node.id, plain.as_slice().ok()?.to_vec()))
}

pub(super) fn is_gelu(node: &TypedNode) -> bool {
    let op = node.op_as::<ElementWiseOp>();
    op.is_some_and(|op| op.0.is::<GeluExact>())
}

impl Layout {
    /// If rows of the data are multiplied by a matrix, and are rows of the output.
    #[cold]
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
            transposed,
            output,
        })
    }
}

/// The one place in a list of at most one.
#[allow(clippy::option_option, reason = "too many places, or perhaps one")]
pub(super) fn single(places: &[usize]) -> Option<Option<usize>> {
    (places.len() <= 1).then(|| places.first().copied())
}

fn is_increasing(places: impl Iterator<Item = usize>) -> bool {
    let places: Vec<usize> = places.collect();
    places.is_sorted_by(|before, after| before < after)
}
