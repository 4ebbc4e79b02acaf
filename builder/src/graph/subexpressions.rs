//! Common subexpression elimination: what several nodes compute of the same values is computed by the
//! first of them. Exporters write shapes, and DeBERTa's distances between tokens, anew in every layer.

use super::constants::rename_inputs;
use super::tensors::{is_float, is_large, value_count};
use encoderfile::onnx::{GraphProto, NodeProto, TensorProto};
use prost::Message;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Leaves out each node that another before it is equal to: the same operator with the same attributes,
/// of the same inputs. The graph's outputs keep their names.
pub(super) fn eliminate(graph: &mut GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|it| it.name.clone()).collect();
    let mut renamed = share_tensors(graph, &outputs);
    let mut first: HashMap<NodeKey, Vec<String>> = HashMap::new();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        rename_inputs(&mut node, &renamed);
        let is_output = node.output.iter().any(|it| outputs.contains(it));
        let has_body = node.attribute.iter().any(|it| it.g.is_some());
        if !is_output && !has_body {
            match first.entry(NodeKey::of(&node)) {
                Entry::Occupied(known) => {
                    let names = known.get().iter().cloned();
                    renamed.extend(node.output.into_iter().zip(names));
                    continue;
                }
                Entry::Vacant(place) => {
                    place.insert(node.output.clone());
                }
            }
        }
        nodes.push(node);
    }
    graph.node = nodes;
}

/// What a node computes, and which of its outputs are wanted.
#[derive(PartialEq, Eq, Hash)]
struct NodeKey {
    operator: (String, String),
    attributes: Vec<Vec<u8>>,
    inputs: Vec<String>,
    is_wanted: Vec<bool>,
}

impl NodeKey {
    fn of(node: &NodeProto) -> Self {
        let attributes = node.attribute.iter().map(Message::encode_to_vec);
        let mut attributes: Vec<Vec<u8>> = attributes.collect();
        attributes.sort_unstable();
        Self {
            operator: (node.domain.clone(), node.op_type.clone()),
            attributes,
            inputs: node.input.clone(),
            is_wanted: node.output.iter().map(|it| !it.is_empty()).collect(),
        }
    }
}

/// Leaves out tensors that are equal to one before them, and says which that is: integers and
/// single values. Weights keep the names of their layers.
fn share_tensors(graph: &mut GraphProto, outputs: &HashSet<String>) -> HashMap<String, String> {
    let mut first: HashMap<Vec<u8>, String> = HashMap::new();
    let mut renamed = HashMap::new();
    graph.initializer.retain(|tensor| {
        let is_weight = is_large(tensor) || is_float(tensor) && value_count(tensor) > 1;
        if is_weight || outputs.contains(&tensor.name) {
            return true;
        }
        let unnamed = TensorProto {
            name: String::new(),
            ..tensor.clone()
        };
        match first.entry(unnamed.encode_to_vec()) {
            Entry::Occupied(known) => {
                renamed.insert(tensor.name.clone(), known.get().clone());
                false
            }
            Entry::Vacant(place) => {
                place.insert(tensor.name.clone());
                true
            }
        }
    });
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile::onnx::{AttributeProto, ValueInfoProto, tensor_proto::DataType};

    fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        NodeProto {
            op_type: operator.into(),
            name: outputs.concat(),
            input: inputs.iter().map(|it| (*it).into()).collect(),
            output: outputs.iter().map(|it| (*it).into()).collect(),
            ..NodeProto::default()
        }
    }

    fn with(mut node: NodeProto, attributes: &[(&str, i64)]) -> NodeProto {
        let attributes = attributes.iter().map(|(name, value)| AttributeProto {
            name: (*name).into(),
            i: *value,
            ..AttributeProto::default()
        });
        node.attribute = attributes.collect();
        node
    }

    fn tensor(name: &str, data_type: DataType, values: &[u8]) -> TensorProto {
        TensorProto {
            name: name.into(),
            data_type: data_type.into(),
            dims: vec![values.len().try_into().unwrap()],
            raw_data: values.to_vec().into(),
            ..TensorProto::default()
        }
    }

    /// What is left, as `output = operator(inputs)`.
    fn eliminated(
        nodes: Vec<NodeProto>,
        initializer: Vec<TensorProto>,
        outputs: &[&str],
    ) -> (Vec<String>, Vec<String>) {
        let outputs = outputs.iter().map(|name| ValueInfoProto {
            name: (*name).into(),
            ..ValueInfoProto::default()
        });
        let mut graph = GraphProto {
            node: nodes,
            initializer,
            output: outputs.collect(),
            ..GraphProto::default()
        };
        eliminate(&mut graph);
        let nodes = graph.node.iter().map(|node| {
            let (outputs, inputs) = (node.output.join(","), node.input.join(","));
            format!("{outputs} = {}({inputs})", node.op_type)
        });
        let tensors = graph.initializer.iter().map(|it| it.name.clone());
        (nodes.collect(), tensors.collect())
    }

    #[test]
    fn whole_chains_that_are_equal_are_computed_once() {
        let chain = |of: &str| {
            let [a, b] = ["a", "b"].map(|it| format!("{it}{of}"));
            let first = with(node("Gather", &["x", "i"], &[&a]), &[("axis", 1)]);
            [first, node("Neg", &[&a], &[&b])]
        };
        let mut nodes: Vec<NodeProto> = [chain("1"), chain("2"), chain("3")].concat();
        nodes.push(node("Sum", &["b1", "b2", "b3"], &["y"]));
        let (nodes, _) = eliminated(nodes, Vec::new(), &["y"]);
        assert_eq!(
            nodes,
            ["a1 = Gather(x,i)", "b1 = Neg(a1)", "y = Sum(b1,b1,b1)"]
        );
    }

    #[test]
    fn nodes_that_differ_are_kept() {
        let nodes = vec![
            with(node("Concat", &["x", "z"], &["a"]), &[("axis", 0)]),
            with(node("Concat", &["x", "z"], &["b"]), &[("axis", 1)]),
            with(node("Concat", &["z", "x"], &["c"]), &[("axis", 0)]),
            node("Concat", &["x", "z"], &["d"]),
            with(node("Max", &["x", "z"], &["e"]), &[("axis", 0)]),
            NodeProto {
                domain: "com.microsoft".into(),
                ..with(node("Concat", &["x", "z"], &["f"]), &[("axis", 0)])
            },
        ];
        let (left, _) = eliminated(nodes.clone(), Vec::new(), &[]);
        assert_eq!(left.len(), nodes.len());
    }

    #[test]
    fn the_order_of_attributes_does_not_matter() {
        let nodes = vec![
            with(node("Pad", &["x"], &["a"]), &[("axis", 0), ("mode", 1)]),
            with(node("Pad", &["x"], &["b"]), &[("mode", 1), ("axis", 0)]),
        ];
        let (left, _) = eliminated(nodes, Vec::new(), &[]);
        assert_eq!(left, ["a = Pad(x)"]);
    }

    #[test]
    fn outputs_of_the_graph_keep_their_names() {
        let nodes = vec![node("Neg", &["x"], &["a"]), node("Neg", &["x"], &["b"])];
        let (left, _) = eliminated(nodes.clone(), Vec::new(), &["b"]);
        assert_eq!(left, ["a = Neg(x)", "b = Neg(x)"]);
        let (left, _) = eliminated(nodes, Vec::new(), &["a"]);
        assert_eq!(left, ["a = Neg(x)", "b = Neg(x)"]);
    }

    /// A mean that the first does not give is not taken from it.
    #[test]
    fn outputs_that_only_one_gives_are_kept() {
        let nodes = vec![
            node("LayerNormalization", &["x", "s"], &["a"]),
            node("LayerNormalization", &["x", "s"], &["b", "", "deviation"]),
            node("LayerNormalization", &["x", "s"], &["c", "mean"]),
            node("LayerNormalization", &["x", "s"], &["d", "same_mean"]),
            node("Add", &["d", "same_mean"], &["y"]),
        ];
        let (left, _) = eliminated(nodes, Vec::new(), &["y"]);
        assert_eq!(left.len(), 4);
        assert_eq!(left.last().unwrap(), "y = Add(c,mean)");
    }

    #[test]
    fn equal_integers_are_one_tensor_and_equal_weights_are_not() {
        let one = [1, 0, 0, 0, 0, 0, 0, 0];
        let tensors = vec![
            tensor("i", DataType::Int64, &one),
            tensor("j", DataType::Int64, &one),
            tensor("k", DataType::Uint64, &one),
            tensor("w1", DataType::Float, &one),
            tensor("w2", DataType::Float, &one),
            tensor("o", DataType::Int64, &one),
        ];
        let nodes = vec![
            node("Gather", &["w1", "i"], &["a"]),
            node("Gather", &["w1", "j"], &["b"]),
            node("Gather", &["w2", "i"], &["c"]),
            node("Sum", &["a", "b", "c"], &["y"]),
        ];
        let (left, tensors) = eliminated(nodes, tensors, &["y", "o"]);
        assert_eq!(tensors, ["i", "k", "w1", "w2", "o"]);
        assert_eq!(left.last().unwrap(), "y = Sum(a,a,c)");
    }
}
