//! One place for constants: initializers, under one name each.
//!
//! Exporters also write them as `Constant` nodes, and share them by `Identity`
//! nodes; both would hide a matrix from those who look for it by name.

use encoderfile::onnx::{GraphProto, NodeProto};
use std::collections::{HashMap, HashSet};

/// Makes an initializer of every `Constant` that holds a tensor, and resolves
/// every `Identity` of one.
pub(super) fn lift(graph: &mut GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|it| it.name.clone()).collect();
    let mut constants: HashSet<String> =
        graph.initializer.iter().map(|it| it.name.clone()).collect();
    let mut renamed: HashMap<String, String> = HashMap::new();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        rename_inputs(&mut node, &renamed);
        let Some(output) = node.output.first().cloned() else {
            continue;
        };
        let is_output = outputs.contains(&output);
        let source = node.input.first();
        let source = source.filter(|it| node.op_type == "Identity" && constants.contains(*it));
        if let Some(source) = source.filter(|_| !is_output) {
            renamed.insert(output, source.clone());
            continue;
        }
        let is_constant = node.op_type == "Constant" && !is_output;
        let value = node.attribute.iter_mut().find(|it| it.name == "value");
        match value.filter(|_| is_constant).and_then(|it| it.t.take()) {
            Some(mut tensor) => {
                tensor.name = output;
                constants.insert(tensor.name.clone());
                graph.initializer.push(tensor);
            }
            None => nodes.push(node),
        }
    }
    graph.node = nodes;
}

pub(super) fn rename_inputs(node: &mut NodeProto, names: &HashMap<String, String>) {
    for name in &mut node.input {
        if let Some(new) = names.get(name) {
            name.clone_from(new);
        }
    }
    let bodies = node.attribute.iter_mut().filter_map(|it| it.g.as_mut());
    for body in bodies {
        body.node
            .iter_mut()
            .for_each(|node| rename_inputs(node, names));
        for output in &mut body.output {
            if let Some(new) = names.get(&output.name) {
                output.name.clone_from(new);
            }
        }
    }
}
