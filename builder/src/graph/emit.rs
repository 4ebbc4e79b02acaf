//! Writing nodes of the ONNX standard: in place of a fused one, or for an architecture.

use super::quantised::Quantised;
use bytes::Bytes;
use encoderfile::onnx::{
    AttributeProto, NodeProto, TensorProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Operators that only lay out anew what they are given first.
const LAYOUTS: [&str; 9] = [
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// A rewritten graph.
pub(crate) struct Written {
    pub(crate) nodes: Vec<NodeProto>,
    pub(crate) initializers: Vec<TensorProto>,
    /// How initializers were quantised, by their names.
    pub(crate) quantised: BTreeMap<String, Quantised>,
}

/// The rewritten graph so far.
pub(crate) struct Emitter<'a> {
    pub(crate) opset: i64,
    /// The nodes before the rewriting, by the names of their outputs.
    producers: HashMap<&'a str, &'a NodeProto>,
    /// Those that take a value, by its name.
    consumers: HashMap<&'a str, Vec<&'a NodeProto>>,
    /// Values that need not be computed, since what takes them was rewritten too.
    absorbed: HashSet<&'a str>,
    outputs: HashSet<String>,
    /// The initializers before the rewriting, by their names.
    tensors: HashMap<&'a str, &'a TensorProto>,
    /// The shapes of those that were written.
    dims: HashMap<String, Vec<i64>>,
    /// Names of values that the graph calls quantised but that are floats here.
    pub(crate) unquantised: HashSet<String>,
    quantised: BTreeMap<String, Quantised>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    prefix: String,
    count: usize,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(
        nodes: &'a [NodeProto],
        tensors: &'a [TensorProto],
        outputs: &[ValueInfoProto],
        opset: i64,
    ) -> Self {
        let producers = nodes
            .iter()
            .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
        let mut consumers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
        for node in nodes {
            for name in &node.input {
                consumers.entry(name).or_default().push(node);
            }
        }
        Self {
            consumers,
            absorbed: HashSet::new(),
            outputs: outputs.iter().map(|it| it.name.clone()).collect(),
            opset,
            producers: producers.collect(),
            tensors: tensors.iter().map(|it| (it.name.as_str(), it)).collect(),
            dims: HashMap::new(),
            unquantised: HashSet::new(),
            quantised: BTreeMap::new(),
            nodes: Vec::new(),
            initializers: Vec::new(),
            prefix: String::new(),
            count: 0,
        }
    }

    /// Begins the rewriting of a node, after whose output what follows is named.
    pub(crate) fn begin(&mut self, output: &str) {
        self.prefix = format!("{output}/unfused");
        self.count = 0;
    }

    /// Begins a part of a model, after which what follows is named.
    pub(crate) fn enter(&mut self, path: &str) {
        path.clone_into(&mut self.prefix);
    }

    /// Takes over a node as it is.
    pub(crate) fn keep(&mut self, node: &NodeProto) {
        let is_layout = LAYOUTS.contains(&node.op_type.as_str());
        let first = node.input.first();
        if is_layout && first.is_some_and(|it| self.unquantised.contains(it)) {
            self.unquantised.extend(node.output.iter().cloned());
        }
        self.nodes.push(node.clone());
    }

    pub(crate) fn finish(self) -> Written {
        Written {
            nodes: self.nodes,
            initializers: self.initializers,
            quantised: self.quantised,
        }
    }

    /// The node that computes a value.
    pub(crate) fn producer(&self, value: &str) -> Option<&'a NodeProto> {
        self.producers.get(value).copied()
    }

    /// The node that takes a value, if nothing else needs it.
    pub(crate) fn only_consumer(&self, value: &str) -> Option<&'a NodeProto> {
        match self.consumers.get(value)?.as_slice() {
            [node] if !self.outputs.contains(value) => Some(node),
            _ => None,
        }
    }

    /// Leaves out a node whose result was rewritten before it.
    pub(crate) fn absorb(&mut self, node: &'a NodeProto) {
        self.absorbed.extend(node.output.iter().map(String::as_str));
    }

    /// Whether a node is left out.
    pub(crate) fn is_absorbed(&self, node: &NodeProto) -> bool {
        node.output
            .iter()
            .any(|name| self.absorbed.contains(name.as_str()))
    }

    /// An initializer before the rewriting.
    pub(crate) fn initializer(&self, value: &str) -> Option<&'a TensorProto> {
        self.tensors.get(value).copied()
    }

    /// The type of such an initializer.
    pub(crate) fn data_type(&self, value: &str) -> Option<DataType> {
        DataType::try_from(self.initializer(value)?.data_type).ok()
    }

    /// The shape of an initializer.
    pub(crate) fn dims(&self, value: &str) -> Option<&[i64]> {
        let written = self.dims.get(value);
        let dims = written.or_else(|| Some(&self.tensors.get(value)?.dims));
        dims.map(Vec::as_slice)
    }

    /// Notes how the values of an initializer were quantised.
    pub(crate) fn note_quantised(&mut self, tensor: &str, how: Quantised) {
        self.quantised.insert(tensor.to_owned(), how);
    }

    /// A name that the graph does not have.
    pub(crate) fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{}/{what}_{}", self.prefix, self.count)
    }

    /// A node of a new output.
    pub(crate) fn node(&mut self, op_type: &str, inputs: &[&str]) -> String {
        self.node_with(op_type, inputs, vec![])
    }

    pub(crate) fn node_with(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = self.fresh(op_type);
        self.node_to(op_type, inputs, attributes, &output);
        output
    }

    /// A node with that output.
    pub(crate) fn node_to(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        output: &str,
    ) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|it| (*it).to_owned()).collect(),
            output: vec![output.into()],
            name: format!("{output}/{op_type}"),
            op_type: op_type.into(),
            attribute,
            ..NodeProto::default()
        });
    }

    /// One number.
    pub(crate) fn float(&mut self, value: f32) -> String {
        let name = self.fresh("number");
        self.float_named(value, &name);
        name
    }

    pub(crate) fn float_named(&mut self, value: f32, name: &str) {
        self.floats_named(&[value], vec![], name);
    }

    /// Numbers of shape `dims`.
    pub(crate) fn floats_named(&mut self, values: &[f32], dims: Vec<i64>, name: &str) {
        let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.tensor(DataType::Float, dims, bytes, name);
    }

    /// A vector of numbers.
    pub(crate) fn floats(&mut self, values: &[f32]) -> String {
        let name = self.fresh("numbers");
        let length = i64::try_from(values.len()).unwrap_or(0);
        self.floats_named(values, vec![length], &name);
        name
    }

    /// A vector of integers.
    pub(crate) fn integers(&mut self, values: &[i64]) -> String {
        let name = self.fresh("integers");
        let dims = vec![i64::try_from(values.len()).unwrap_or(0)];
        let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.tensor(DataType::Int64, dims, bytes, &name);
        name
    }

    /// One integer.
    pub(crate) fn integer(&mut self, value: i64) -> String {
        let name = self.fresh("integer");
        let bytes = value.to_le_bytes().to_vec();
        self.tensor(DataType::Int64, vec![], bytes, &name);
        name
    }

    pub(crate) fn tensor(
        &mut self,
        data_type: DataType,
        dims: Vec<i64>,
        bytes: impl Into<Bytes>,
        name: &str,
    ) {
        self.dims.insert(name.into(), dims.clone());
        self.initializers.push(TensorProto {
            dims,
            data_type: data_type.into(),
            name: name.into(),
            raw_data: bytes.into(),
            ..TensorProto::default()
        });
    }

    /// The mean over the last axis, which stays with length one.
    pub(crate) fn mean_of_last(&mut self, value: &str) -> String {
        // The axes became an input with opset 18.
        if self.opset < 18 {
            return self.node_with("ReduceMean", &[value], vec![ints("axes", &[-1])]);
        }
        let axes = self.integers(&[-1]);
        self.node("ReduceMean", &[value, &axes])
    }

    /// The two halves of a value along the last axis.
    pub(crate) fn halves(&mut self, value: &str) -> [String; 2] {
        let outputs = [self.fresh("half"), self.fresh("half")];
        self.node_to("Split", &[value], vec![int("axis", -1)], &outputs[0]);
        if let Some(node) = self.nodes.last_mut() {
            node.output.push(outputs[1].clone());
            // Since opset 18 their number has to be said.
            if self.opset >= 18 {
                node.attribute.push(int("num_outputs", 2));
            }
        }
        outputs
    }

    /// The part of a value from `start` to `end` along an axis.
    pub(crate) fn slice(&mut self, value: &str, axis: i64, start: i64, end: i64) -> String {
        let [start, end, axis] = [start, end, axis].map(|it| self.integers(&[it]));
        self.node("Slice", &[value, &start, &end, &axis])
    }
}

/// An integer attribute.
pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int.into(),
        i: value,
        ..AttributeProto::default()
    }
}

/// An attribute of several integers.
pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints.into(),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

/// A float attribute.
pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Float.into(),
        f: value,
        ..AttributeProto::default()
    }
}

/// A text attribute.
pub(crate) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String.into(),
        s: value.into(),
        ..AttributeProto::default()
    }
}
