//! A linear layer: a product with a constant matrix, bias and activation.
//!
//! **Invariant:** the weights are held once, packed.

use super::Backend;
use super::weights::LinearWeights;
use encoderfile_format::weights::{Matrix, WeightsError};
use encoderfile_kernels::{Activation, Epilogue, LinearLayer, linear};
use std::sync::OnceLock;
use tract_core::internal::*;

/// `activation(input · weights + bias)`: `[rows, depth]` → `[rows, columns]`.
#[derive(Clone)]
pub(crate) struct Linear {
    pub(crate) weights: Arc<LinearWeights>,
    /// What each column of the input is multiplied by first: `[depth]`. Only where the weights
    /// are int8.
    pub(crate) smoothing: Option<Arc<[f32]>>,
    /// For each column of whole panels: zeros where there is none.
    pub(crate) bias: Arc<[f32]>,
    pub(crate) activation: Activation,
    pub(crate) output: TVec<Axis>,
}

/// Where an axis of the output has its length from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    Input(usize),
    Fixed(usize),
}

impl PartialEq for Linear {
    fn eq(&self, other: &Self) -> bool {
        let both = [self, other];
        let [this, other] = both.map(|it| (&it.smoothing, &it.bias, it.activation, &it.output));
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
        one(std::slice::from_ref(self), inputs)
    }
}

/// Linear layers of one input, of which each is an output. Its rows are packed once.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LinearGroup {
    pub(crate) layers: TVec<Linear>,
}

impl Op for LinearGroup {
    fn name(&self) -> StaticName {
        "Linear".into()
    }

    op_as_typed_op!();
}

impl TypedOp for LinearGroup {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut facts = tvec!();
        for layer in &self.layers {
            facts.extend(layer.output_facts(inputs)?);
        }
        Ok(facts)
    }

    as_op!();
}

impl EvalOp for LinearGroup {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        one(&self.layers, inputs)
    }
}

/// The linear layers that a node computes.
pub(crate) fn layers(node: &TypedNode) -> &[Linear] {
    let group = || Some(&*node.op_as::<LinearGroup>()?.layers);
    let alone = node.op_as::<Linear>().map(std::slice::from_ref);
    alone.or_else(group).unwrap_or_default()
}

fn one(layers: &[Linear], inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    let input = args_1!(inputs);
    let outputs = multiply(layers, std::slice::from_ref(&input))?.pop();
    outputs.context("an input has outputs")
}

/// What the layers make of each of several inputs, whose rows are multiplied at once.
pub(crate) fn multiply(layers: &[Linear], inputs: &[TValue]) -> TractResult<Vec<TVec<TValue>>> {
    let Some(Backend { isa, cores, .. }) = layers.first().map(|it| &it.weights.backend) else {
        return Ok(inputs.iter().map(|_| tvec!()).collect());
    };
    let mut outputs: Vec<TVec<Tensor>> = Vec::with_capacity(inputs.len());
    for input in inputs {
        let of_layers = layers.iter().map(|it| it.uninitialized_output(input));
        outputs.push(of_layers.collect::<TractResult<_>>()?);
    }
    let mut plain: TVec<Vec<_>> = layers.iter().map(|_| Vec::new()).collect();
    for outputs in &mut outputs {
        for (plain, output) in plain.iter_mut().zip(outputs) {
            plain.push(output.try_as_plain_ram_mut()?);
        }
    }
    let mut products: Vec<LinearLayer<'_>> = Vec::with_capacity(layers.len());
    for (layer, outputs) in layers.iter().zip(&mut plain) {
        let outputs = outputs.iter_mut().map(|it| it.as_slice_mut());
        products.push(LinearLayer {
            weights: layer.weights.as_factor(layer.smoothing.as_deref())?,
            epilogue: Epilogue {
                bias: &layer.bias,
                activation: layer.activation,
            },
            outputs: outputs.collect::<TractResult<_>>()?,
        });
    }
    let depth = layers.first().map_or(0, |it| it.weights.depth());
    let mut rows: Vec<(&[f32], usize)> = Vec::with_capacity(inputs.len());
    for input in inputs {
        let count = input.len().checked_div(depth).unwrap_or(0);
        rows.push((input.try_as_plain_ram()?.as_slice()?, count));
    }
    linear(*isa, &**cores, &rows, products)?;
    drop(plain);
    let outputs = outputs.into_iter();
    let values = outputs.map(|it| it.into_iter().map(Tensor::into_tvalue).collect());
    Ok(values.collect())
}

/// A matrix in the payload that is the second input of `MatMul`.
///
/// It is packed from there, or used where it is mapped, and is no constant of the graph at
/// all.
#[derive(Clone)]
pub(crate) struct MatMulWeight {
    matrix: Arc<Matrix>,
    backend: Backend,
    /// The same for all products with it.
    weights: Arc<OnceLock<Arc<LinearWeights>>>,
}

impl MatMulWeight {
    pub(crate) fn new(matrix: Matrix, backend: Backend) -> Self {
        Self {
            matrix: Arc::new(matrix),
            backend,
            weights: Arc::default(),
        }
    }

    pub(crate) fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?;
        let depth = fact.shape.to_tvec().pop();
        ensure!(
            fact.datum_type == f32::datum_type() && depth == Some(self.matrix.rows().to_dim()),
            "{fact:?} is not multiplied by {:?}",
            self.matrix
        );
        let rank = fact.rank();
        let mut output: TVec<Axis> = (0..rank).map(Axis::Input).collect();
        output[rank - 1] = Axis::Fixed(self.matrix.columns());
        let op = Linear::plain(self.weights()?, output);
        model.wire_node(name, op, &inputs[..1])
    }

    fn weights(&self) -> Result<Arc<LinearWeights>, WeightsError> {
        if let Some(weights) = self.weights.get() {
            return Ok(Arc::clone(weights));
        }
        let weights = Arc::new(LinearWeights::read(&self.matrix, &self.backend)?);
        Ok(Arc::clone(self.weights.get_or_init(|| weights)))
    }
}

impl Linear {
    /// A tensor for what it makes of an input, in which every value is still to be written.
    fn uninitialized_output(&self, input: &Tensor) -> TractResult<Tensor> {
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
        // Zeros would take another 1 to 2 % of the time of a text (all-MiniLM-L6-v2, 128 and
        // 256 tokens, in turns).
        // SAFETY: `linear` reads nothing of its outputs and writes every value of them, or
        // refuses them, and then the tensors are dropped.
        unsafe { Tensor::uninitialized::<f32>(&shape) }
    }

    /// Whether rows are packed for this layer as for the other.
    pub(crate) fn packs_as(&self, other: &Self) -> bool {
        let factors = [self, other].map(|it| it.weights.as_factor(it.smoothing.as_deref()));
        match factors {
            [Ok(first), Ok(second)] => self.weights.backend.isa.packs_alike(first, second),
            _ => false,
        }
    }

    /// The same with a bias, a vector of as many values as there are columns; `None` where there is
    /// something after the product.
    pub(crate) fn with_bias(&self, bias: &Tensor) -> Option<Self> {
        let is_vector = bias.shape() == [self.weights.columns()];
        let values = bias.try_as_plain_ram().ok()?;
        let values = values.as_slice::<f32>().ok().filter(|_| is_vector)?;
        let mut values = values.to_vec();
        values.resize(self.bias.len(), 0.0);
        self.is_plain().then(|| Self {
            bias: values.into(),
            ..self.clone()
        })
    }

    /// Whether it has neither a bias nor an activation.
    pub(crate) fn is_plain(&self) -> bool {
        self.activation == Activation::None && self.bias.iter().all(|bias| *bias == 0.0)
    }

    /// Without a bias or an activation.
    pub(crate) fn plain(weights: Arc<LinearWeights>, output: TVec<Axis>) -> Self {
        let bias = vec![0.0; weights.padded_columns()].into();
        Self {
            weights,
            smoothing: None,
            bias,
            activation: Activation::None,
            output,
        }
    }
}
