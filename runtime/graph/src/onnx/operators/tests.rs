//! Nodes that do not fit what they are given are refused when they are wired, and do not panic.

use super::super::reader::{InputFact, Tokens, read};
use crate::GraphError;
use crate::onnx::external::ExternalInitializers;
use encoderfile_proto::onnx::attribute_proto::AttributeType;
use encoderfile_proto::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    ValueInfoProto, tensor_proto::DataType,
};
use tract_core::internal::DatumType;

/// The facts of inputs by their names: a text is `[1, S]`, of integers.
const INPUTS: [(&str, &[i64]); 8] = [
    ("text", &[]),
    ("vector", &[4]),
    ("column", &[3, 1]),
    ("matrix", &[3, 4]),
    ("images", &[1, 4, 5, 5]),
    ("kernels", &[2, 4, 3, 3]),
    ("narrow", &[2, 3, 3, 3]),
    ("empty", &[0, 4, 3, 3]),
];

/// Constants by their names: vectors of integers.
const CONSTANTS: [(&str, &[i64]); 9] = [
    ("none", &[]),
    ("zero", &[0]),
    ("one", &[1]),
    ("two", &[2]),
    ("nine", &[9]),
    ("one_one", &[1, 1]),
    ("two_two", &[2, 2]),
    ("minus_one", &[-1]),
    ("ones", &[1, 1, 1]),
];

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: DataType::Int64.into(),
        dims: vec![values.len().try_into().unwrap()],
        int64_data: values.into(),
        ..TensorProto::default()
    }
}

fn attribute(name: &str, value: Value) -> AttributeProto {
    let mut attribute = AttributeProto {
        name: name.into(),
        ..AttributeProto::default()
    };
    match value {
        Int(value) => {
            attribute.r#type = AttributeType::Int.into();
            attribute.i = value;
        }
        Ints(values) => {
            attribute.r#type = AttributeType::Ints.into();
            attribute.ints = values.into();
        }
        Text(value) => {
            attribute.r#type = AttributeType::String.into();
            attribute.s = value.as_bytes().to_vec();
        }
    }
    attribute
}

#[derive(Clone, Copy)]
enum Value {
    Int(i64),
    Ints(&'static [i64]),
    Text(&'static str),
}

use Value::{Int, Ints, Text};

type Attributes = &'static [(&'static str, Value)];

/// What reading a graph of one node says.
fn wired(
    operator: &str,
    inputs: &[&str],
    attributes: Attributes,
    outputs: &[&str],
) -> Result<(), GraphError> {
    let named = |name: &str| ValueInfoProto {
        name: name.into(),
        ..ValueInfoProto::default()
    };
    let node = NodeProto {
        op_type: operator.into(),
        input: inputs.iter().map(|it| (*it).into()).collect(),
        output: outputs.iter().map(|it| (*it).into()).collect(),
        attribute: attributes
            .iter()
            .map(|(name, value)| attribute(name, *value))
            .collect(),
        ..NodeProto::default()
    };
    let scalar = TensorProto {
        dims: Vec::new(),
        ..integers("scalar", &[1])
    };
    let constants = CONSTANTS.map(|(name, values)| integers(name, values));
    let graph = GraphProto {
        node: vec![node],
        initializer: constants.into_iter().chain([scalar]).collect(),
        input: INPUTS.map(|(name, _)| named(name)).into(),
        output: vec![named("y")],
        ..GraphProto::default()
    };
    let model = ModelProto {
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 18,
        }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    let facts = INPUTS.map(|(name, shape)| match name {
        "text" => InputFact::OfText(DatumType::I64),
        _ => InputFact::Tensor(shape.into()),
    });
    let external = ExternalInitializers::default();
    read(&model, &external, Tokens::UpTo(16), &facts).map(drop)
}

#[test]
fn what_fits_is_wired() {
    let fitting: [(&str, &[&str], Attributes); 15] = [
        ("Add", &["matrix", "vector"], &[]),
        ("Concat", &["matrix", "matrix"], &[("axis", Int(-1))]),
        ("Conv", &["images", "kernels"], &[]),
        (
            "Einsum",
            &["matrix", "matrix"],
            &[("equation", Text("ij,kj->ik"))],
        ),
        ("Expand", &["column", "nine"], &[]),
        ("Flatten", &["images"], &[("axis", Int(4))]),
        ("Gather", &["matrix", "text"], &[("axis", Int(-2))]),
        (
            "Gemm",
            &["matrix", "matrix", "column"],
            &[("transB", Int(1))],
        ),
        ("MatMul", &["matrix", "vector"], &[]),
        ("MatMul", &["vector", "vector"], &[]),
        ("ReduceMean", &["images", "two"], &[]),
        ("Reshape", &["text", "minus_one"], &[]),
        ("Squeeze", &["column", "minus_one"], &[]),
        ("Tile", &["matrix", "two_two"], &[]),
        ("Unsqueeze", &["matrix", "one"], &[]),
    ];
    for (operator, inputs, attributes) in fitting {
        let result = wired(operator, inputs, attributes, &["y"]);
        result.unwrap_or_else(|error| panic!("{operator} of {inputs:?}: {error:?}"));
    }
}

/// Operators, their inputs and attributes, of which something does not fit.
const REFUSED: [(&str, &[&str], Attributes); 49] = [
    ("Add", &["matrix"], &[]),
    ("Add", &["matrix", "vector", "vector"], &[]),
    ("Add", &["matrix", "images"], &[]),
    ("ArgMax", &["matrix"], &[("axis", Int(2))]),
    ("Concat", &["matrix", "matrix"], &[("axis", Int(2))]),
    ("Concat", &["matrix", "vector"], &[("axis", Int(0))]),
    ("ConstantOfShape", &["text"], &[]),
    ("Conv", &["matrix", "kernels"], &[]),
    ("Conv", &["images", "kernels", "vector"], &[]),
    ("Conv", &["images", "kernels"], &[("group", Int(3))]),
    ("Conv", &["images", "kernels"], &[("pads", Ints(&[1, 1]))]),
    (
        "Conv",
        &["images", "kernels"],
        &[("strides", Ints(&[0, 1]))],
    ),
    (
        "Conv",
        &["images", "kernels"],
        &[("dilations", Ints(&[1, i64::MAX]))],
    ),
    (
        "Conv",
        &["images", "kernels"],
        &[("pads", Ints(&[0, 0, 0, i64::MAX]))],
    ),
    ("Conv", &["images", "narrow"], &[]),
    ("Conv", &["images", "empty"], &[("group", Int(i64::MAX))]),
    ("CumSum", &["matrix", "two"], &[]),
    ("Einsum", &["matrix"], &[("equation", Text("ij,jk->ik"))]),
    (
        "Einsum",
        &["matrix", "vector"],
        &[("equation", Text("ij,jk->ik"))],
    ),
    (
        "Einsum",
        &["matrix", "matrix"],
        &[("equation", Text("ij,jk->ik"))],
    ),
    ("Expand", &["matrix", "text"], &[]),
    ("Flatten", &["matrix"], &[("axis", Int(3))]),
    ("Gather", &["matrix", "text"], &[("axis", Int(2))]),
    ("GatherElements", &["matrix", "one"], &[]),
    ("GatherND", &["matrix", "ones"], &[]),
    ("Gemm", &["matrix", "matrix"], &[]),
    ("Gemm", &["images", "matrix"], &[]),
    ("MatMul", &["matrix", "matrix"], &[]),
    ("MatMul", &["matrix", "scalar"], &[]),
    ("MatMul", &["column", "matrix"], &[]),
    ("MatMul", &["text", "matrix"], &[]),
    ("Pad", &["matrix", "one_one"], &[]),
    ("Range", &["zero", "nine", "one"], &[]),
    ("Range", &["scalar", "scalar", "zero"], &[]),
    ("ReduceSum", &["matrix", "two"], &[]),
    ("ReduceSum", &["matrix", "one_one"], &[]),
    ("Reshape", &["matrix", "nine"], &[]),
    ("ScatterND", &["matrix", "ones", "vector"], &[]),
    ("Slice", &["matrix", "zero", "nine", "two"], &[]),
    ("Slice", &["matrix", "zero", "nine", "one", "zero"], &[]),
    ("Slice", &["matrix", "zero", "nine"], &[]),
    ("Softmax", &["matrix"], &[("axis", Int(2))]),
    ("Split", &["matrix", "two"], &[]),
    ("Squeeze", &["matrix", "one"], &[]),
    ("Tile", &["matrix", "two"], &[]),
    ("Transpose", &["matrix"], &[("perm", Ints(&[0, 0]))]),
    ("Trilu", &["vector"], &[]),
    ("Where", &["matrix", "matrix", "matrix"], &[]),
    ("Where", &["text", "matrix", "images"], &[]),
];

#[test]
fn what_does_not_fit_is_refused() {
    for (operator, inputs, attributes) in REFUSED {
        let result = wired(operator, inputs, attributes, &["y"]);
        let names: Vec<&str> = attributes.iter().map(|(name, _)| *name).collect();
        assert!(result.is_err(), "{operator} of {inputs:?} with {names:?}");
    }
}

#[test]
fn a_node_gives_what_its_operator_does() {
    for outputs in [&["y", "z"][..], &["", "y"]] {
        let result = wired("Relu", &["matrix"], &[], outputs);
        let Err(GraphError::Node { problem, .. }) = result else {
            panic!("{result:?}")
        };
        assert_eq!(problem, "it has too many outputs");
    }
    let norm = ["matrix", "vector", "vector"];
    wired("LayerNormalization", &norm, &[], &["y", "", "deviation"]).unwrap();
}
