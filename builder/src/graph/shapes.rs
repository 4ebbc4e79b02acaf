//! Shapes, worked out once, when the file is built. One text is computed at a time: of what exporters
//! compute of shapes at every start, only the number of tokens is not known before.

use super::conditionals::without_values;
use super::constants::rename_inputs;
use encoderfile::graph::{Tokens, read};
use encoderfile::onnx::{
    GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};
use std::collections::{HashMap, HashSet};
use tract_core::internal::*;

/// Operators whose result is of their data's type.
const SAME_TYPE: [&str; 13] = [
    "Add",
    "Concat",
    "Div",
    "Expand",
    "Gather",
    "Identity",
    "Mul",
    "Reshape",
    "Slice",
    "Squeeze",
    "Sub",
    "Tile",
    "Unsqueeze",
];

/// Makes constants of the integers that are the same for every text, computes those once that are the
/// same for each text, writes targets of `Reshape` with one unknown length as a constant with `-1`, and
/// leaves out what repeats a tensor once. The graph is then one for a single text, as its inputs say.
pub(super) fn resolve(model: &ModelProto, graph: &mut GraphProto, max_tokens: u32) {
    let Ok(known) = Known::of(model, graph, max_tokens) else {
        // Whoever loads the graph says what is wrong with it.
        return;
    };
    let integers = integers(graph);
    let outputs: HashSet<String> = graph.output.iter().map(|it| it.name.clone()).collect();
    let mut constants = Constants::default();
    let mut lengths: HashMap<Lengths, String> = HashMap::new();
    let mut renamed = HashMap::new();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        if let Some(tensor) = known.integers(&node, &integers) {
            graph.initializer.push(tensor);
            continue;
        }
        rename_inputs(&mut node, &renamed);
        if let [output] = node.output.as_slice()
            && let Some(known) = known
                .lengths_of(output)
                .filter(|_| integers.contains(output))
            && !outputs.contains(output)
        {
            let first = lengths.entry(known).or_insert_with(|| output.clone());
            if first != output {
                renamed.insert(output.clone(), first.clone());
                continue;
            }
        }
        if known.repeats_once(&node) {
            node.op_type = "Identity".into();
            node.input.truncate(1);
            node.attribute.clear();
        } else if let Some(target) = known.target(&node) {
            node.input[1] = constants.name(target);
        }
        nodes.push(node);
    }
    graph.node = nodes;
    graph.initializer.extend(constants.tensors());
    for input in &mut graph.input {
        if let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|it| it.value.as_mut())
        {
            tensor.shape = Some(one_text());
        }
    }
}

fn one_text() -> TensorShapeProto {
    let dims = [
        dimension::Value::DimValue(1),
        dimension::Value::DimParam("tokens".into()),
    ];
    TensorShapeProto {
        dim: dims
            .into_iter()
            .map(|value| Dimension { value: Some(value) })
            .collect(),
    }
}

/// The names of values that are int64, as far as it shows.
fn integers(graph: &GraphProto) -> HashSet<String> {
    let is_int64 = |it: &&TensorProto| it.data_type == DataType::Int64 as i32;
    let tensors = graph.initializer.iter().filter(is_int64);
    let mut integers: HashSet<String> = tensors.map(|it| it.name.clone()).collect();
    for node in &graph.node {
        let attribute = |name| node.attribute.iter().find(|it| it.name == name);
        let is_one = match node.op_type.as_str() {
            "Shape" | "Size" => true,
            "Cast" => attribute("to").is_some_and(|it| it.i == i64::from(DataType::Int64 as i32)),
            "ConstantOfShape" => {
                let value = attribute("value").and_then(|it| it.t.as_ref());
                value.as_ref().is_some_and(is_int64)
            }
            "Where" => node.input.get(1).is_some_and(|it| integers.contains(it)),
            operator => {
                SAME_TYPE.contains(&operator)
                    && node.input.first().is_some_and(|it| integers.contains(it))
            }
        };
        if is_one {
            integers.extend(node.output.iter().cloned());
        }
    }
    integers
}

/// Lengths of axes, as they depend on the number of tokens, and the shape of the tensor they are in.
type Lengths = (Vec<TDim>, TVec<usize>);

/// What holds for every text, of values by their names.
struct Known {
    values: HashMap<String, Arc<Tensor>>,
    shapes: HashMap<String, TVec<TDim>>,
}

impl Known {
    fn of(model: &ModelProto, graph: &GraphProto, max_tokens: u32) -> TractResult<Self> {
        let mut graph = graph.clone();
        let facts = without_values(&mut graph);
        let model = ModelProto {
            graph: Some(graph),
            ..model.clone()
        };
        let wired = read(&model, Tokens::UpTo(max_tokens), &facts)?;
        let mut known = Self {
            values: HashMap::new(),
            shapes: HashMap::new(),
        };
        for (name, outlet) in wired.outlets {
            let fact = wired.model.outlet_fact(outlet)?;
            let value = fact.konst.iter().map(|it| (name.clone(), Arc::clone(it)));
            known.values.extend(value);
            known.shapes.insert(name, fact.shape.to_tvec());
        }
        Ok(known)
    }

    fn lengths_of(&self, name: &str) -> Option<Lengths> {
        let value = self.values.get(name)?;
        let lengths = value.cast_to::<TDim>().ok()?;
        let plain = lengths.try_as_plain_ram().ok()?;
        let lengths = plain.as_slice::<TDim>().ok()?;
        Some((lengths.to_vec(), value.shape().into()))
    }

    /// A vector of lengths, or one: of `None` where it depends on the text.
    fn lengths(&self, name: &str) -> Option<(Vec<Option<i64>>, TVec<usize>)> {
        let (lengths, shape) = self.lengths_of(name)?;
        let lengths = lengths.iter().map(|it| it.to_i64().ok());
        Some((lengths.collect(), shape))
    }

    /// What a node computes, if those are int64 and the same for every text.
    fn integers(&self, node: &NodeProto, integers: &HashSet<String>) -> Option<TensorProto> {
        let [output] = node.output.as_slice() else {
            return None;
        };
        let is_int64 = integers.contains(output);
        let (lengths, shape) = is_int64.then(|| self.lengths(output)).flatten()?;
        let lengths: Option<Vec<i64>> = lengths.into_iter().collect();
        let dims = shape.iter().map(|it| i64::try_from(*it).ok());
        Some(TensorProto {
            name: output.clone(),
            data_type: DataType::Int64.into(),
            dims: dims.collect::<Option<_>>()?,
            int64_data: lengths?,
            ..TensorProto::default()
        })
    }

    /// Whether a node gives the tensor that it was given.
    fn repeats_once(&self, node: &NodeProto) -> bool {
        let shape = |names: &[String]| self.shapes.get(names.first()?);
        let shapes = (shape(&node.input), shape(&node.output));
        ["Expand", "Tile"].contains(&node.op_type.as_str())
            && shapes.0.is_some()
            && shapes.0 == shapes.1
    }

    /// The target of a `Reshape` that is computed, if no more than one of its lengths depends on the
    /// text.
    fn target(&self, node: &NodeProto) -> Option<Vec<i64>> {
        let [_, target] = node.input.as_slice() else {
            return None;
        };
        let is_reshape = node.op_type == "Reshape";
        let (lengths, _) = is_reshape.then(|| self.lengths(target)).flatten()?;
        let unknown = lengths.iter().filter(|it| it.is_none()).count();
        let are_lengths = lengths.iter().flatten().all(|it| *it > 0);
        let written = lengths.into_iter().map(|it| it.unwrap_or(-1));
        (unknown == 1 && are_lengths).then(|| written.collect())
    }
}

/// Targets of `Reshape`, each once.
#[derive(Default)]
struct Constants(Vec<Vec<i64>>);

impl Constants {
    fn name(&mut self, target: Vec<i64>) -> String {
        let place = self.0.iter().position(|it| *it == target);
        let place = place.unwrap_or_else(|| {
            self.0.push(target);
            self.0.len() - 1
        });
        name(place)
    }

    fn tensors(self) -> impl Iterator<Item = TensorProto> {
        let targets = self.0.into_iter().enumerate();
        targets.map(|(place, target)| TensorProto {
            name: name(place),
            data_type: DataType::Int64.into(),
            // A vector has a length that fits.
            dims: vec![i64::try_from(target.len()).unwrap_or(i64::MAX)],
            int64_data: target,
            ..TensorProto::default()
        })
    }
}

/// No exporter's.
fn name(place: usize) -> String {
    format!("encoderfile/shape_{place}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile::onnx::{OperatorSetIdProto, TypeProto, ValueInfoProto};

    fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: operator.into(),
            name: output.into(),
            input: inputs.iter().map(|it| (*it).into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    fn integers(name: &str, values: &[i64]) -> TensorProto {
        TensorProto {
            name: name.into(),
            data_type: DataType::Int64.into(),
            dims: vec![values.len().try_into().unwrap()],
            int64_data: values.into(),
            ..TensorProto::default()
        }
    }

    /// Of `nodes`, after a table of eight values a token, `x`, of `[1, tokens, 8]`.
    fn resolved(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>) -> GraphProto {
        let table = TensorProto {
            name: "table".into(),
            data_type: DataType::Float.into(),
            dims: vec![4, 8],
            float_data: vec![1.0; 32],
            ..TensorProto::default()
        };
        let ids = ValueInfoProto {
            name: "ids".into(),
            r#type: Some(TypeProto {
                value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                    elem_type: DataType::Int64.into(),
                    shape: None,
                })),
            }),
        };
        let output = nodes.last().unwrap().output[0].clone();
        let lookup = node("Gather", &["table", "ids"], "x");
        let mut graph = GraphProto {
            node: [lookup].into_iter().chain(nodes).collect(),
            initializer: [table].into_iter().chain(tensors).collect(),
            input: vec![ids],
            output: vec![ValueInfoProto {
                name: output,
                ..ValueInfoProto::default()
            }],
            ..GraphProto::default()
        };
        let model = ModelProto {
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: 17,
            }],
            ..ModelProto::default()
        };
        resolve(&model, &mut graph, 16);
        super::super::remove_unused(&mut graph);
        graph
    }

    fn operators(graph: &GraphProto) -> Vec<&str> {
        graph.node.iter().map(|it| it.op_type.as_str()).collect()
    }

    fn tensor<'a>(graph: &'a GraphProto, name: &str) -> &'a [i64] {
        let found = graph.initializer.iter().find(|it| it.name == name);
        &found.unwrap().int64_data
    }

    /// As PyTorch writes `view(x.size(0), x.size(1), 2, -1)`.
    fn view() -> Vec<NodeProto> {
        let each = |place: &'static str, name: &'static str| {
            let of_one = format!("{name}_of_one");
            [
                node("Gather", &["shape", place], &of_one),
                node("Unsqueeze", &[&of_one, "axis"], name),
            ]
        };
        let mut nodes = vec![node("Shape", &["x"], "shape")];
        nodes.extend(each("first", "batch"));
        nodes.extend(each("second", "length"));
        nodes.push(node(
            "Concat",
            &["batch", "length", "heads", "width"],
            "target",
        ));
        for node in &mut nodes {
            if node.op_type == "Concat" {
                node.attribute = vec![axis()];
            }
        }
        nodes
    }

    fn axis() -> encoderfile::onnx::AttributeProto {
        encoderfile::onnx::AttributeProto {
            name: "axis".into(),
            i: 0,
            r#type: 2,
            ..Default::default()
        }
    }

    fn of_view() -> Vec<TensorProto> {
        let scalar = |name: &str, value: i64| TensorProto {
            dims: Vec::new(),
            ..integers(name, &[value])
        };
        vec![
            scalar("first", 0),
            scalar("second", 1),
            integers("axis", &[0]),
            integers("heads", &[2]),
            integers("width", &[4]),
        ]
    }

    #[test]
    fn a_reshape_by_the_length_has_a_constant_target() {
        let mut nodes = view();
        nodes.push(node("Reshape", &["x", "target"], "y"));
        let graph = resolved(nodes, of_view());
        assert_eq!(operators(&graph), ["Gather", "Reshape"]);
        assert_eq!(tensor(&graph, &graph.node[1].input[1]), [1, -1, 2, 4]);
    }

    #[test]
    fn equal_targets_are_one_tensor() {
        let mut nodes = view();
        nodes.push(node("Reshape", &["x", "target"], "y"));
        nodes.push(node("Relu", &["x"], "positive"));
        nodes.push(node("Reshape", &["positive", "target"], "z"));
        nodes.push(node("Add", &["y", "z"], "sum"));
        let graph = resolved(nodes, of_view());
        assert_eq!(
            operators(&graph),
            ["Gather", "Reshape", "Relu", "Reshape", "Add"]
        );
        assert_eq!(graph.initializer.len(), 2);
    }

    /// `[tokens, tokens]` cannot be written with one `-1`.
    #[test]
    fn two_unknown_lengths_stay_computed() {
        let mut nodes = view();
        nodes.push(node("Concat", &["length", "length"], "square"));
        nodes.last_mut().unwrap().attribute = vec![axis()];
        nodes.push(node("ConstantOfShape", &["square"], "zeros"));
        nodes.push(node("Reshape", &["zeros", "square"], "y"));
        let graph = resolved(nodes, of_view());
        assert!(operators(&graph).contains(&"Shape"));
    }

    /// As PyTorch writes `expand`: where a length is -1 it is the tensor's own.
    #[test]
    fn lengths_that_are_always_equal_are_computed_once() {
        let layer = |input: &str, of: &str| {
            let name = |it: &str| format!("{it}_{of}");
            let [shape, length, square] = ["shape", "length", "square"].map(name);
            let [minus, is_own, target] = ["minus", "is_own", "target"].map(name);
            let [zeros, ones] = ["zeros", "ones"].map(name);
            let mut concat = node("Concat", &[&length, &length], &square);
            concat.attribute = vec![axis()];
            let mut filled = node("ConstantOfShape", &["two"], &ones);
            filled.attribute = vec![encoderfile::onnx::AttributeProto {
                name: "value".into(),
                t: Some(integers("", &[1])),
                r#type: 4,
                ..Default::default()
            }];
            vec![
                node("Shape", &[input], &shape),
                node("Slice", &[&shape, "axis_1", "axis_2"], &length),
                concat,
                filled,
                node("Mul", &[&ones, "minus_one"], &minus),
                node("Equal", &[&square, &minus], &is_own),
                node("Where", &[&is_own, &ones, &square], &target),
                node("ConstantOfShape", &[&target], &zeros),
            ]
        };
        let mut nodes = layer("x", "a");
        nodes.push(node("Relu", &["x"], "y"));
        nodes.extend(layer("y", "b"));
        nodes.push(node("Add", &["zeros_a", "zeros_b"], "sum"));
        let tensors = vec![
            integers("axis_1", &[1]),
            integers("axis_2", &[2]),
            integers("two", &[2]),
            integers("minus_one", &[-1]),
        ];
        let mut graph = resolved(nodes, tensors);
        let once = ["Gather", "Shape", "Slice", "Concat"];
        let each = ["ConstantOfShape", "ConstantOfShape", "Add"];
        assert_eq!(operators(&graph), [&once[..], &each].concat());
        // They have the same input now.
        super::super::subexpressions::eliminate(&mut graph);
        let all = [&once[..], &["ConstantOfShape", "Add"]].concat();
        assert_eq!(operators(&graph), all);
    }

    #[test]
    fn what_repeats_a_tensor_once_is_left_out_and_what_repeats_it_more_is_not() {
        let once = [integers("once", &[1, 1, 1]), integers("twice", &[1, 1, 2])];
        let nodes = vec![
            node("Tile", &["x", "once"], "a"),
            node("Expand", &["a", "once"], "b"),
            node("Tile", &["b", "twice"], "c"),
        ];
        let graph = resolved(nodes, once.into());
        assert_eq!(
            operators(&graph),
            ["Gather", "Identity", "Identity", "Tile"]
        );
    }

    /// The first length is 1; it is a constant of the type that the graph has there, or none.
    #[test]
    fn integers_of_another_type_stay_computed() {
        let mut cast = node("Cast", &["batch"], "narrow");
        cast.attribute = vec![encoderfile::onnx::AttributeProto {
            name: "to".into(),
            i: DataType::Int32 as i64,
            r#type: 2,
            ..Default::default()
        }];
        let mut nodes = view();
        nodes.extend([cast, node("Add", &["narrow", "narrow"], "sum")]);
        let graph = resolved(nodes, of_view());
        assert_eq!(operators(&graph), ["Cast", "Add"]);
        assert_eq!(tensor(&graph, "batch"), [1]);
    }

    #[test]
    fn inputs_say_that_there_is_one_text() {
        let graph = resolved(vec![node("Relu", &["x"], "y")], Vec::new());
        let value = graph.input[0].r#type.as_ref().unwrap().value.as_ref();
        let Some(type_proto::Value::TensorType(tensor)) = value else {
            panic!("no tensor")
        };
        assert_eq!(tensor.shape, Some(one_text()));
    }
}
