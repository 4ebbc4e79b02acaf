//! From ONNX messages to a model of the engine's operators, each wired to those before it.
//!
//! Shapes that the graph declares are not read: exporters leave there what
//! contradicts the shapes of one text. A node is named after its first output,
//! since those names are unique and the nodes' own need not be.

use super::external::{ExternalInitializers, Uses};
use super::node::{Node, is_standard, node_name};
use super::operators;
use super::tensor::read_tensor;
use crate::GraphError;
use crate::error::{Stage, one_line};
use crate::ops::embedding::EmbeddingLookup;
use crate::ops::linear::Linear;
use crate::ops::stored_tensor::StoredTensor;
use encoderfile_format::manifest::IntegerType;
use encoderfile_format::weights::WeightsError;
use encoderfile_proto::onnx::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use std::collections::HashMap;
use std::sync::Arc;
use tract_core::internal::*;
use tract_core::ops::konst::Const;

/// The oldest opset: before it `Clip` and `Pad` had their parameters elsewhere.
const OPSET_MIN: i64 = 11;

/// How many tokens a text has.
#[derive(Clone, Copy, Debug)]
pub enum Tokens {
    /// At least one.
    ///
    /// The bounds are part of the plan: exporters write `min(length, positions)`,
    /// which is the length, and tract takes seconds over shapes that keep such
    /// expressions.
    UpTo(u32),
    /// This many.
    Exactly(u32),
}

/// The type and shape of a graph's input.
#[derive(Clone, Debug)]
pub enum InputFact {
    /// Integers of this type, of one text: `[1, tokens]`.
    OfText(DatumType),
    /// Floats of this shape.
    Tensor(Vec<i64>),
}

impl InputFact {
    /// That of an input of the pipeline.
    pub fn of(integer_type: IntegerType) -> Self {
        Self::OfText(match integer_type {
            IntegerType::Int64 => i64::datum_type(),
            IntegerType::Int32 => i32::datum_type(),
        })
    }
}

/// A graph in the engine's operators, with the types and shapes of its values.
pub struct Wired {
    /// Its inputs and outputs are the graph's, in order.
    pub model: TypedModel,
    /// Where each value of the graph is, by its name.
    pub outlets: HashMap<String, OutletId>,
}

/// The model of `proto`, whose large tensors are in `external`, for texts of so many `tokens`.
pub(crate) fn read(
    proto: &ModelProto,
    external: &ExternalInitializers,
    tokens: Tokens,
    inputs: &[InputFact],
) -> Result<Wired, GraphError> {
    let graph = proto.graph.as_ref().ok_or(GraphError::NoGraph)?;
    let mut reader = Reader {
        opset: opset(proto)?,
        external,
        uses: Uses::of(graph),
        wired: Wired {
            model: TypedModel::default(),
            outlets: HashMap::new(),
        },
    };
    for tensor in &graph.initializer {
        reader.add_constant(&tensor.name, read_tensor(tensor)?.into_arc_tensor())?;
    }
    for (name, tensor) in &external.constants {
        reader.add_constant(name, Arc::clone(tensor))?;
    }
    for (name, tensor) in &external.stacks {
        reader.add_stored(name, tensor)?;
    }
    let length = length(&mut reader.wired.model, tokens);
    let length = length.map_err(GraphError::engine(Stage::Reading))?;
    let mut facts = inputs.iter();
    for input in &graph.input {
        reader.add_input(input, &mut facts, &length)?;
    }
    for node in &graph.node {
        reader.add_node(node)?;
    }
    reader.finish(graph)
}

fn length(model: &mut TypedModel, tokens: Tokens) -> TractResult<TDim> {
    let max = match tokens {
        Tokens::Exactly(length) => return Ok(i64::from(length).to_dim()),
        Tokens::UpTo(max) => max,
    };
    model.symbols.add_assertion("S>=1")?;
    model.symbols.add_assertion(format!("S<={max}"))?;
    Ok(model.symbols.sym("S").to_dim())
}

/// The version of the default domain, if it is served.
///
/// # Errors
/// [`GraphError::Opset`] where it is older than the oldest that is served, or not stated.
pub fn opset(proto: &ModelProto) -> Result<i64, GraphError> {
    let mut imports = proto.opset_import.iter();
    let standard = imports.find(|it| is_standard(&it.domain));
    let got = standard.map(|it| it.version);
    got.filter(|version| *version >= OPSET_MIN)
        .ok_or(GraphError::Opset {
            got,
            min: OPSET_MIN,
        })
}

struct Reader<'a> {
    opset: i64,
    external: &'a ExternalInitializers,
    uses: Uses<'a>,
    wired: Wired,
}

impl<'a> Reader<'a> {
    /// Without asking whether another constant is the same, which takes longer than having it twice.
    fn add_constant(&mut self, name: &str, tensor: Arc<Tensor>) -> Result<(), GraphError> {
        let add = |model: &mut TypedModel| -> TractResult<OutletId> {
            let fact = TypedFact::try_from(Arc::clone(&tensor))?;
            let node = model.add_node(name, Const::new(tensor)?, tvec!(fact))?;
            Ok(node.into())
        };
        let outlet = add(&mut self.wired.model).map_err(GraphError::engine(Stage::Reading))?;
        self.wired.outlets.insert(name.into(), outlet);
        Ok(())
    }

    fn add_stored(&mut self, name: &str, tensor: &StoredTensor) -> Result<(), GraphError> {
        let fact = tvec!(tensor.fact());
        let node = self.wired.model.add_node(name, tensor.clone(), fact);
        let node = node.map_err(GraphError::engine(Stage::Reading))?;
        self.wired.outlets.insert(name.into(), node.into());
        Ok(())
    }

    fn add_input<'b>(
        &mut self,
        input: &ValueInfoProto,
        facts: &mut impl Iterator<Item = &'b InputFact>,
        length: &TDim,
    ) -> Result<(), GraphError> {
        if self.wired.outlets.contains_key(&input.name) {
            return Ok(());
        }
        let unbound = || GraphError::UnboundInput {
            name: input.name.clone(),
        };
        let fact = match facts.next().ok_or_else(unbound)? {
            InputFact::OfText(datum_type) => datum_type.fact(dims!(1, length.clone())),
            InputFact::Tensor(shape) => f32::fact(shape),
        };
        let source = self.wired.model.add_source(&input.name, fact);
        let source = source.map_err(GraphError::engine(Stage::Reading))?;
        self.wired.outlets.insert(input.name.clone(), source);
        Ok(())
    }

    fn add_node(&mut self, proto: &'a NodeProto) -> Result<(), GraphError> {
        let Some(name) = proto.output.iter().find(|name| !name.is_empty()) else {
            return Ok(());
        };
        if let Some(layer) = self.add_bias(proto) {
            self.wired.outlets.insert(name.clone(), layer);
            return Ok(());
        }
        let (wire, inputs) = self.operator(proto)?;
        let inputs = inputs.iter().filter(|name| !name.is_empty());
        let inputs = inputs.map(|input| self.outlet(input, node_name(proto)));
        let inputs = inputs.collect::<Result<TVec<OutletId>, _>>()?;
        let model = &mut self.wired.model;
        let outlets = wire(name, model, &inputs).and_then(|outlets| {
            let facts = outlets
                .iter()
                .map(|it| check_lengths(model.outlet_fact(*it)?));
            facts.collect::<TractResult<()>>()?;
            Ok(outlets)
        });
        let outlets = outlets.with_context(|| format!("{} `{}`", proto.op_type, node_name(proto)));
        let outlets = outlets.map_err(|error| match error.downcast_ref::<WeightsError>() {
            Some(error) => error.clone().into(),
            None => GraphError::engine(Stage::Typing)(error),
        })?;
        for (place, output) in proto.output.iter().enumerate() {
            if output.is_empty() {
                continue;
            }
            let outlet = outlets.get(place).copied();
            let outlet =
                outlet.ok_or_else(|| node_error(proto, "it has too many outputs".into()))?;
            self.wired.outlets.insert(output.clone(), outlet);
        }
        Ok(())
    }

    /// The linear layer that a node adds the bias of, if it does: it adds that itself.
    fn add_bias(&mut self, proto: &NodeProto) -> Option<OutletId> {
        let [first, second] = proto.input.as_slice() else {
            return None;
        };
        let is_sum = proto.op_type == "Add" && is_standard(&proto.domain);
        let model = &mut self.wired.model;
        for (product, bias) in [(first, second), (second, first)] {
            let outlets = [product, bias].map(|name| self.wired.outlets.get(name));
            let [Some(layer), Some(bias)] = outlets else {
                return None;
            };
            let is_needed = !is_sum || !self.uses.is_taken_once(product);
            let op = model.node(layer.node).op_as::<Linear>();
            let bias = model.outlet_fact(*bias).ok()?.konst.as_ref();
            let with_bias = op.zip(bias).and_then(|(op, bias)| op.with_bias(bias));
            if let Some(op) = with_bias.filter(|_| !is_needed) {
                model.node_mut(layer.node).op = Box::new(op);
                return Some(*layer);
            }
        }
        None
    }

    /// The operator of a node, and those of the node's inputs that it takes.
    fn operator(
        &self,
        proto: &'a NodeProto,
    ) -> Result<(operators::Wire, &'a [String]), GraphError> {
        if let Some((table, inputs)) = self.external.table_of(proto) {
            let lookup = EmbeddingLookup { table };
            return Ok((
                Box::new(move |name, model, inputs| lookup.wire(name, model, inputs)),
                inputs,
            ));
        }
        if let Some((weight, inputs)) = self.external.matmul_weight_of(proto) {
            return Ok((
                Box::new(move |name, model, inputs| weight.wire(name, model, inputs)),
                inputs,
            ));
        }
        let node = Node {
            proto,
            opset: self.opset,
        };
        let wire = operators::build(&node).ok_or_else(|| operators::unknown(proto))?;
        let wire = wire.map_err(|error| node_error(proto, one_line(&error)))?;
        Ok((wire, &proto.input))
    }

    fn outlet(&self, value: &str, user: &str) -> Result<OutletId, GraphError> {
        let outlet = self.wired.outlets.get(value).copied();
        outlet.ok_or_else(|| GraphError::Undefined {
            value: value.into(),
            user: user.into(),
        })
    }

    fn finish(mut self, graph: &GraphProto) -> Result<Wired, GraphError> {
        let outputs = graph.output.iter();
        let outputs = outputs.map(|output| self.outlet(&output.name, "the output"));
        let outputs: Vec<OutletId> = outputs.collect::<Result<_, _>>()?;
        let selected = self.wired.model.select_output_outlets(&outputs);
        selected.map_err(GraphError::engine(Stage::Reading))?;
        Ok(self.wired)
    }
}

/// Refuses a tensor with an axis of two lengths, which the engine goes on with.
fn check_lengths(fact: &TypedFact) -> TractResult<()> {
    for length in fact.shape.iter() {
        let TDim::Broadcast(lengths) = length else {
            continue;
        };
        let known = lengths.iter().filter_map(|it| it.to_usize().ok());
        let mut known: Vec<usize> = known.collect();
        known.dedup();
        ensure!(known.len() <= 1, "an axis of lengths {known:?}");
    }
    Ok(())
}

fn node_error(node: &NodeProto, problem: String) -> GraphError {
    GraphError::Node {
        op_type: node.op_type.clone(),
        node: node_name(node).into(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Backend;
    use crate::passes::fuse;
    use encoderfile_format::source::{ReadError, Source};
    use encoderfile_format::weights::{External, TENSOR_ALIGNMENT, dims};
    use encoderfile_proto::onnx::attribute_proto::AttributeType;
    use encoderfile_proto::onnx::tensor_proto::{DataLocation, DataType};
    use encoderfile_proto::onnx::{AttributeProto, OperatorSetIdProto, TensorProto};
    use std::sync::Mutex;

    const DEPTH: usize = 4;
    const COLUMNS: usize = 6;

    /// Bytes that are given back once, and not read after that: as of a payload in chunks, each of which
    /// is freed with its last byte.
    struct Strict {
        bytes: Vec<u8>,
        is_released: Mutex<Vec<bool>>,
    }

    impl Source for Strict {
        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
            let start = usize::try_from(offset)?;
            let is_released = self.is_released.lock().unwrap();
            let range = start..start + buffer.len();
            assert!(!is_released[range].contains(&true), "read after release");
            self.bytes.read_at(offset, buffer)
        }

        fn release(&self, offset: u64, length: u64) {
            let start = usize::try_from(offset).unwrap();
            let end = start + usize::try_from(length).unwrap();
            let mut is_released = self.is_released.lock().unwrap();
            let end = end.min(is_released.len());
            for byte in &mut is_released[start..end] {
                assert!(!*byte, "released twice");
                *byte = true;
            }
        }
    }

    fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: operator.into(),
            input: inputs.iter().map(|it| (*it).into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    fn value(place: usize) -> f32 {
        (place * 7919 % 2003) as f32 / 1001.0 - 1.0
    }

    fn tensor(name: &str, shape: &[i64], seed: usize) -> TensorProto {
        let count: i64 = shape.iter().product();
        let count = usize::try_from(count).unwrap();
        TensorProto {
            name: name.into(),
            data_type: DataType::Float.into(),
            dims: shape.into(),
            float_data: (seed..seed + count).map(value).collect(),
            ..TensorProto::default()
        }
    }

    /// A matrix, rows and a stack of matrices, in the payload or in the graph.
    fn stored_tensors(is_stored: bool) -> ([TensorProto; 3], Arc<dyn Source>) {
        let mut stored = [
            tensor("w", &[4, 6], 11),
            tensor("rows", &[3, 6], 9),
            tensor("stack", &[2, 4, 6], 19),
        ];
        let alignment = usize::try_from(TENSOR_ALIGNMENT).unwrap();
        let mut bytes = Vec::new();
        for tensor in stored.iter_mut().filter(|_| is_stored) {
            let values = std::mem::take(&mut tensor.float_data);
            let offset = bytes.len() as u64;
            bytes.extend(values.iter().flat_map(|it| it.to_le_bytes()));
            let place = External {
                offset,
                length: bytes.len() as u64 - offset,
                ..External::default()
            };
            bytes.resize(bytes.len().next_multiple_of(alignment), 0);
            tensor.set_data_location(DataLocation::External);
            tensor.external_data = place.to_entries(dims(tensor).unwrap().len());
        }
        let weights = Arc::new(Strict {
            is_released: Mutex::new(vec![false; bytes.len()]),
            bytes,
        });
        (stored, weights)
    }

    /// Of `x`, `[3, DEPTH]`, with the matrix `w` in the payload or in the graph: the names of
    /// operators that remain and the last output.
    fn computed(nodes: &[NodeProto], outputs: &[&str], is_stored: bool) -> (Vec<String>, Tensor) {
        let named = |name: &&str| ValueInfoProto {
            name: (*name).into(),
            ..ValueInfoProto::default()
        };
        let ([matrix, rows, stack], weights) = stored_tensors(is_stored);
        let mut graph = GraphProto {
            node: nodes.to_vec(),
            initializer: vec![
                matrix,
                tensor("b", &[6], 3),
                tensor("c", &[6], 5),
                tensor("one", &[1], 7),
                rows,
                stack,
                tensor("s", &[4], 13),
                tensor("t", &[4], 17),
                TensorProto {
                    name: "first".into(),
                    data_type: DataType::Int64.into(),
                    dims: vec![1],
                    int64_data: vec![0],
                    ..TensorProto::default()
                },
            ],
            input: vec![named(&"x")],
            output: outputs.iter().map(named).collect(),
            ..GraphProto::default()
        };
        let backend = Backend::of_tests();
        let external = ExternalInitializers::take(&mut graph, &weights, &backend).unwrap();
        let proto = ModelProto {
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: 18,
            }],
            graph: Some(graph),
            ..ModelProto::default()
        };
        let facts = [InputFact::Tensor(vec![3, 4])];
        let mut model = read(&proto, &external, Tokens::UpTo(16), &facts)
            .unwrap()
            .model;
        let is_kept = |node: &&TypedNode| !node.op_is::<Const>() && node.op.name() != "Source";
        let names = model.nodes.iter().filter(is_kept);
        let names = names.map(|node| node.op.name().to_string()).collect();
        fuse(&mut model, &backend).unwrap();
        let model = model.into_optimized().unwrap().into_runnable().unwrap();
        let input: Vec<f32> = (0..3 * DEPTH).map(value).collect();
        let input = tensor1(&input).into_shape(&[3, DEPTH]).unwrap();
        let outputs = model.run(tvec!(input.into_tvalue())).unwrap();
        (names, outputs.last().unwrap().clone().into_tensor())
    }

    #[test]
    fn a_linear_layer_adds_its_own_bias_and_nothing_else() {
        let product = || node("MatMul", &["x", "w"], "p");
        let sum = |inputs: &[&str], output: &str| node("Add", inputs, output);
        let twice = [product(), sum(&["p", "b"], "q"), sum(&["p", "q"], "y")];
        for (nodes, outputs, is_part) in [
            (&[product(), sum(&["p", "b"], "y")][..], &["y"][..], true),
            (&[product(), sum(&["b", "p"], "y")], &["y"], true),
            // A second one is no bias.
            (
                &[product(), sum(&["p", "b"], "q"), sum(&["c", "q"], "y")],
                &["y"],
                true,
            ),
            // What else is taken or given is the product alone.
            (&twice, &["y"], false),
            (&[product(), sum(&["p", "b"], "y")], &["p", "y"], false),
            // Not one value for each column.
            (&[product(), sum(&["p", "one"], "y")], &["y"], false),
            (&[product(), sum(&["p", "rows"], "y")], &["y"], false),
            (&[product(), sum(&["p", "p"], "y")], &["y"], false),
            (&[product(), node("Sub", &["p", "b"], "y")], &["y"], false),
        ] {
            let (_, expected) = computed(nodes, outputs, false);
            let (names, result) = computed(nodes, outputs, true);
            let sums = nodes.len() - 1 - usize::from(is_part);
            let left = names.iter().filter(|it| ["Add", "Sub"].contains(&&***it));
            assert_eq!(left.count(), sums, "{nodes:?}: {names:?}");
            assert_eq!(result.shape(), [3, COLUMNS]);
            let close = Approximation::Custom(1e-6, 1e-6, 0.0);
            let close = result.close_enough(&expected, close);
            close.unwrap_or_else(|error| panic!("{nodes:?}: {error:?}"));
        }
    }

    #[test]
    fn stacks_are_multiplied_by_as_constants_are() {
        let nodes = [
            node("MatMul", &["x", "stack"], "p"),
            node("ReduceSum", &["p", "first"], "y"),
        ];
        let (_, expected) = computed(&nodes, &["y"], false);
        let (_, result) = computed(&nodes, &["y"], true);
        assert_eq!(result.shape(), [1, 3, COLUMNS]);
        let close = result.close_enough(&expected, Approximation::Custom(1e-6, 1e-6, 0.0));
        close.unwrap();
    }

    #[test]
    fn a_layer_norm_with_constants_is_one_kernel() {
        let epsilon = |inputs: &[&str]| {
            let mut norm = node("LayerNormalization", inputs, "y");
            norm.attribute = vec![AttributeProto {
                name: "epsilon".into(),
                f: 0.5,
                r#type: AttributeType::Float.into(),
                ..AttributeProto::default()
            }];
            norm
        };
        let by_operators = |inputs: &[&str]| {
            let mut norm = epsilon(inputs);
            norm.output.extend([String::new(), "deviation".into()]);
            norm
        };
        for inputs in [&["x", "s", "t"][..], &["x", "s"]] {
            let (names, result) = computed(&[epsilon(inputs)], &["y"], false);
            assert_eq!(names, ["LayerNorm"]);
            let (names, expected) = computed(&[by_operators(inputs)], &["y"], false);
            assert!(!names.contains(&"LayerNorm".to_owned()), "{names:?}");
            let close = result.close_enough(&expected, Approximation::Custom(1e-6, 1e-6, 0.0));
            close.unwrap_or_else(|error| panic!("{inputs:?}: {error:?}"));
        }
        // With the residual before it.
        let residual = [
            node("Add", &["x", "x2"], "sum"),
            epsilon(&["sum", "s", "t"]),
        ];
        let halved = node("Mul", &["x", "s"], "x2");
        let nodes = [&[halved][..], &residual].concat();
        let (names, result) = computed(&nodes, &["y"], false);
        assert_eq!(names.iter().filter(|it| **it == "LayerNorm").count(), 1);
        let nodes = [&nodes[..2], &[by_operators(&["sum", "s", "t"])]].concat();
        let (_, expected) = computed(&nodes, &["y"], false);
        let close = result.close_enough(&expected, Approximation::Custom(1e-6, 1e-6, 0.0));
        close.unwrap();
    }
}
