//! From an ONNX file to the graph and the tensors of an encoderfile.

mod binding;
mod conditionals;
mod quantize;
mod tensors;

use crate::error::BuildError;
use crate::folder::{Model, read_file};
use encoderfile_runtime::graph::unsupported;
use encoderfile_runtime::onnx::{GraphProto, ModelProto};
use encoderfile_runtime::proto::WeightsEncoding;
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::Path;

pub use binding::Binding;
pub use tensors::Weights;

/// A checked ONNX model: its conditionals resolved, its inputs and output bound.
pub struct Graph {
    model: ModelProto,
    /// The names and types of what goes in and out.
    pub binding: Binding,
    /// SHA-256 of the ONNX file.
    pub source_sha256: [u8; 32],
}

impl Graph {
    /// Reads and checks the ONNX file of `model`.
    pub fn read(path: &Path, model: &Model) -> Result<Self, BuildError> {
        Self::parse(path, &read_file(path)?, model)
    }

    /// The same from memory; `path` is for messages.
    pub fn parse(path: &Path, bytes: &[u8], model: &Model) -> Result<Self, BuildError> {
        let graph_error = |source| BuildError::Graph {
            path: path.to_owned(),
            source,
        };
        let mut proto = ModelProto::decode(bytes).map_err(|error| graph_error(error.into()))?;
        if let Some(error) = unsupported(&proto) {
            return Err(graph_error(error));
        }
        let mut graph = proto.graph.take().unwrap_or_default();
        tensors::load_external(path, &mut graph)?;
        let binding = Binding::of(path, &graph, model)?;
        graph
            .output
            .retain(|output| output.name == binding.output.name);
        graph.value_info.clear();
        conditionals::resolve(path, &proto, &mut graph, model.pipeline.max_tokens)?;
        remove_unused(&mut graph);
        proto.graph = Some(graph);
        Ok(Self {
            model: proto,
            binding,
            source_sha256: Sha256::digest(bytes).into(),
        })
    }

    /// The model as it is checked, with all its tensors.
    pub fn model(&self) -> &ModelProto {
        &self.model
    }

    /// The graph without its large tensors, encoded, and those tensors as stored.
    pub fn split(&self, encoding: WeightsEncoding) -> (Vec<u8>, Weights) {
        let mut model = self.model.clone();
        let mut graph = model.graph.take().unwrap_or_default();
        let weights = tensors::split(&mut graph, encoding);
        model.graph = Some(graph);
        (model.encode_to_vec(), weights)
    }
}

/// Removes nodes and tensors that no output needs.
fn remove_unused(graph: &mut GraphProto) {
    let mut needed: HashSet<String> = graph.output.iter().map(|it| it.name.clone()).collect();
    // Nodes are sorted: every use of a value comes after its definition.
    let mut kept = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|output| needed.contains(output)) {
            needed.extend(node.input.iter().cloned());
            let bodies = node.attribute.iter().filter_map(|it| it.g.as_ref());
            bodies.for_each(|body| collect_inputs(body, &mut needed));
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph.initializer.retain(|it| needed.contains(&it.name));
    let initialised: HashSet<&String> = graph.initializer.iter().map(|it| &it.name).collect();
    graph.input.retain(|it| !initialised.contains(&it.name));
}

fn collect_inputs(body: &GraphProto, needed: &mut HashSet<String>) {
    needed.extend(body.output.iter().map(|it| it.name.clone()));
    for node in &body.node {
        needed.extend(node.input.iter().cloned());
        let bodies = node.attribute.iter().filter_map(|it| it.g.as_ref());
        bodies.for_each(|body| collect_inputs(body, needed));
    }
}
