//! Quantised weights: what they stand for, and what is refused of them.

use super::rewrite;
use crate::error::BuildError;
use crate::graph::emit::{float, int};
use crate::graph::quantised::Quantised;
use encoderfile::GraphError;
use encoderfile::onnx::{
    AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto::DataType,
};
use std::collections::BTreeMap;
use std::path::Path;

/// A node with the tensors that it is given.
#[derive(Clone)]
struct Given {
    node: NodeProto,
    tensors: Vec<TensorProto>,
}

impl Given {
    fn new(op_type: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> Self {
        let domain = match op_type {
            "DequantizeLinear" | "QuantizeLinear" | "QLinearMatMul" => "",
            _ => "com.microsoft",
        };
        Self {
            node: NodeProto {
                op_type: op_type.into(),
                domain: domain.into(),
                name: "the/node".into(),
                input: inputs.iter().map(|it| (*it).into()).collect(),
                output: vec!["y".into()],
                attribute,
            },
            tensors: Vec::new(),
        }
    }

    fn with(mut self, name: &str, data_type: DataType, dims: &[i64], raw: &[u8]) -> Self {
        self.tensors.push(TensorProto {
            name: name.into(),
            data_type: data_type.into(),
            dims: dims.to_vec(),
            raw_data: raw.to_vec().into(),
            ..TensorProto::default()
        });
        self
    }

    fn with_floats(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.with(name, DataType::Float, dims, &bytes)
    }

    fn rewritten(&self) -> Result<(GraphProto, BTreeMap<String, Quantised>), BuildError> {
        let mut graph = GraphProto {
            node: vec![self.node.clone()],
            initializer: self.tensors.clone(),
            ..GraphProto::default()
        };
        let mut quantised = BTreeMap::new();
        rewrite(Path::new("model.onnx"), &mut graph, 21, &mut quantised)?;
        Ok((graph, quantised))
    }

    /// The one tensor that was dequantised: its shape, its values and how it was quantised.
    fn dequantised(&self) -> (Vec<i64>, Vec<f32>, String) {
        let (graph, quantised) = self.rewritten().unwrap();
        let [(name, how)] = &quantised.into_iter().collect::<Vec<_>>()[..] else {
            panic!("not one tensor");
        };
        let tensor = graph.initializer.iter().find(|it| it.name == *name);
        let tensor = tensor.unwrap();
        assert_eq!(tensor.data_type, DataType::Float as i32);
        let (values, _) = tensor.raw_data.as_chunks::<4>();
        let values = values.iter().map(|it| f32::from_le_bytes(*it)).collect();
        (tensor.dims.clone(), values, how.to_string())
    }

    fn set(mut self, attribute: AttributeProto) -> Self {
        let attributes = &mut self.node.attribute;
        attributes.retain(|it| it.name != attribute.name);
        attributes.push(attribute);
        self
    }

    fn reshaped(mut self, tensor: &str, dims: &[i64]) -> Self {
        let mut tensors = self.tensors.iter_mut();
        tensors.find(|it| it.name == tensor).unwrap().dims = dims.to_vec();
        self
    }

    fn without(mut self, tensor: &str) -> Self {
        self.tensors.retain(|it| it.name != tensor);
        self
    }

    fn instead(self, tensor: &str, data_type: DataType, dims: &[i64], raw: &[u8]) -> Self {
        self.without(tensor).with(tensor, data_type, dims, raw)
    }

    /// Why it is refused, which names file and node.
    fn refused(&self) -> String {
        let error = self.rewritten().map(|_| ()).unwrap_err();
        let BuildError::Graph {
            source: GraphError::Node { node, problem, .. },
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(node, "the/node");
        assert!(error.to_string().starts_with("model.onnx: "), "{error}");
        problem.clone()
    }
}

/// A product with a matrix `[17, 2]` of 4 bits: a block, and one of a single value.
fn n_bits() -> Given {
    let attributes = [("K", 17), ("N", 2), ("bits", 4), ("block_size", 16)];
    let attributes = attributes.map(|(name, value)| int(name, value));
    let packed: Vec<u8> = (0..32).map(|it| it * 8 + 3).collect();
    Given::new("MatMulNBits", &["x", "b", "scales"], attributes.to_vec())
        .with("b", DataType::Uint8, &[2, 2, 8], &packed)
        .with_floats("scales", &[4], &[0.5, 2.0, 0.1, -3.0])
}

fn with_input(mut given: Given, place: usize, name: &str) -> Given {
    given.node.input.resize(place + 1, String::new());
    given.node.input[place] = name.into();
    given
}

#[test]
fn a_matrix_of_few_bits_is_turned_and_exact() {
    let (dims, values, how) = n_bits().dequantised();
    assert_eq!(dims, [17, 2]);
    assert_eq!(how, "MatMulNBits int4 in blocks of 16");
    // Byte 3 of the first column is 27: 11 and 1, of a scale of 0.5.
    assert_eq!(values[6 * 2], (11.0 - 8.0) * 0.5);
    assert_eq!(values[7 * 2], (1.0 - 8.0) * 0.5);
    // The last value of the second column is of byte 24: 195.
    assert_eq!(values[16 * 2 + 1], (3.0 - 8.0) * -3.0);

    // Two zero points a byte, of which each column begins one.
    let zeros = with_input(n_bits(), 3, "zeros");
    let zeros = zeros.with("zeros", DataType::Uint8, &[2, 1], &[0x95, 0x08]);
    let (_, values, how) = zeros.dequantised();
    assert_eq!(how, "MatMulNBits int4 with zero points in blocks of 16");
    assert_eq!(values[6 * 2], (11.0 - 5.0) * 0.5);
    assert_eq!(values[16 * 2], (3.0 - 9.0) * 2.0);
    assert_eq!(values[16 * 2 + 1], (3.0 - 0.0) * -3.0);

    let floats = with_input(n_bits(), 3, "zeros");
    let floats = floats.with_floats("zeros", &[4], &[7.5, 8.0, 8.0, 8.0]);
    assert_eq!(floats.dequantised().1[6 * 2], (11.0 - 7.5) * 0.5);

    let groups: Vec<u8> = (0..17_i32).flat_map(|it| (it % 2).to_le_bytes()).collect();
    let groups = with_input(n_bits(), 4, "groups").with("groups", DataType::Int32, &[17], &groups);
    let (_, values, _) = groups.dequantised();
    assert_eq!(values[6 * 2], (11.0 - 8.0) * 0.5);
    assert_eq!(values[7 * 2], (1.0 - 8.0) * 2.0);
}

#[test]
fn nodes_of_one_matrix_share_it() {
    let Given { node, tensors } = n_bits();
    let second = NodeProto {
        output: vec!["z".into()],
        ..node.clone()
    };
    let mut graph = GraphProto {
        node: vec![node, second],
        initializer: tensors,
        ..GraphProto::default()
    };
    let mut quantised = BTreeMap::new();
    rewrite(Path::new("model.onnx"), &mut graph, 21, &mut quantised).unwrap();
    assert_eq!(quantised.len(), 1);
    assert_eq!(graph.node[0].input[1], graph.node[1].input[1]);
    assert_eq!(graph.initializer.len(), 3);
}

#[test]
fn a_matrix_that_is_not_what_its_attributes_say_is_refused() {
    for (given, problem) in [
        (n_bits().set(int("K", -17)), "`K` is -17"),
        (n_bits().set(int("N", 0)), "`N` is 0"),
        (n_bits().set(int("K", i64::MAX)), "`b` has shape"),
        (n_bits().set(int("N", i64::MAX)), "`b` has shape"),
        (n_bits().set(int("bits", 3)), "3 bits"),
        (n_bits().set(int("block_size", 8)), "`block_size` is 8"),
        (n_bits().set(int("block_size", 24)), "`block_size` is 24"),
        (n_bits().set(int("block_size", -16)), "`block_size` is -16"),
        (n_bits().set(int("block_size", 1 << 62)), "`b` has shape"),
        (n_bits().reshaped("b", &[2, 16]), "expected [2, 2, 8]"),
        (n_bits().reshaped("b", &[2, 2, -8]), "shape [2, 2, -8]"),
        (n_bits().reshaped("scales", &[2]), "[4] or [2, 2]"),
        (n_bits().without("b"), "`b` is not constant"),
        (n_bits().without("scales"), "`scales` is not constant"),
        (
            n_bits().instead("b", DataType::Uint8, &[2, 2, 8], &[0; 31]),
            "31 bytes",
        ),
        (
            n_bits().instead("b", DataType::Int8, &[2, 2, 8], &[0; 32]),
            "not of uint8",
        ),
        (
            n_bits()
                .without("scales")
                .with_floats("scales", &[4], &[f32::NAN; 4]),
            "`scales` holds NaN",
        ),
        (
            n_bits().instead("scales", DataType::Int32, &[4], &[0; 16]),
            "neither of float32",
        ),
    ] {
        let said = given.refused();
        assert!(said.contains(problem), "{said}, expected {problem}");
    }
}

#[test]
fn zero_points_and_groups_that_do_not_fit_a_matrix_are_refused() {
    let zeros = || with_input(n_bits(), 3, "zeros");
    let groups = || with_input(n_bits(), 4, "groups");
    let with_groups = |given: Given| {
        with_input(given, 4, "groups").with("groups", DataType::Int32, &[17], &[0; 68])
    };
    let group = |value: i32| [value; 17].map(i32::to_le_bytes).concat();
    for (given, problem) in [
        (
            zeros().with("zeros", DataType::Uint8, &[4], &[0; 4]),
            "[2] or [2, 1]",
        ),
        (
            zeros().with_floats("zeros", &[2], &[0.0; 2]),
            "[4] or [2, 2]",
        ),
        (
            zeros().with_floats("zeros", &[4], &[f32::INFINITY; 4]),
            "`zeros` holds inf",
        ),
        (
            with_groups(zeros().with("zeros", DataType::Uint8, &[2], &[0; 2])),
            "without packed zero points",
        ),
        (
            with_groups(n_bits().set(int("bits", 8))),
            "expected [2, 2, 16]",
        ),
        (
            groups().with("groups", DataType::Int32, &[17], &group(2)),
            "`groups` holds 2, of 2 blocks",
        ),
        (
            groups().with("groups", DataType::Int32, &[17], &group(-1)),
            "`groups` holds -1",
        ),
        (
            groups().with("groups", DataType::Int32, &[16], &group(0)[..64]),
            "[17] or [32]",
        ),
        (
            groups().with("groups", DataType::Int64, &[17], &[0; 136]),
            "not of int32",
        ),
    ] {
        let said = given.refused();
        assert!(said.contains(problem), "{said}, expected {problem}");
    }
}

/// A table `[3, 16]` of signed nibbles.
fn table() -> Given {
    let attributes = [("gather_axis", 0), ("quantize_axis", 1), ("block_size", 16)];
    let attributes = attributes.map(|(name, value)| int(name, value));
    let inputs = ["table", "ids", "scales"];
    Given::new("GatherBlockQuantized", &inputs, attributes.to_vec())
        .with("table", DataType::Int4, &[3, 16], &[0x9f; 24])
        .with_floats("scales", &[3, 1], &[1.0, 10.0, 100.0])
}

#[test]
fn a_table_is_dequantised_row_by_row() {
    let (dims, values, how) = table().dequantised();
    assert_eq!(dims, [3, 16]);
    assert_eq!(how, "GatherBlockQuantized int4 in blocks of 16");
    assert_eq!(values[..3], [-1.0, -7.0, -1.0]);
    assert_eq!(values[32..35], [-100.0, -700.0, -100.0]);
    // Two values a byte, whose middle is 8.
    let bytes = table().instead("table", DataType::Uint8, &[3, 8], &[0x9f; 24]);
    let (dims, values, _) = bytes.dequantised();
    assert_eq!(dims, [3, 16]);
    assert_eq!(values[..3], [7.0, 1.0, 7.0]);
    // The zero points of each row begin a byte.
    let zeros = with_input(bytes, 3, "zeros");
    let zeros = zeros.with("zeros", DataType::Uint8, &[3, 1], &[0x01, 0x02, 0x03]);
    let (_, values, _) = zeros.dequantised();
    assert_eq!(values[..2], [14.0, 8.0]);
    assert_eq!(values[16..18], [130.0, 70.0]);
}

#[test]
fn a_table_that_is_not_what_its_attributes_say_is_refused() {
    let bytes = || table().instead("table", DataType::Uint8, &[3, 8], &[0x9f; 24]);
    let zeros = || with_input(table(), 3, "zeros");
    for (given, problem) in [
        (
            table().set(int("quantize_axis", 2)),
            "axis 2 of a tensor of rank 2",
        ),
        (table().set(int("quantize_axis", -3)), "axis -3"),
        (table().set(int("gather_axis", 2)), "axis 2"),
        (
            table().set(int("gather_axis", i64::MIN)),
            "axis -9223372036854775808",
        ),
        (table().set(int("block_size", 20)), "`block_size` is 20"),
        (table().reshaped("scales", &[1, 3]), "expected [3, 1]"),
        (table().reshaped("table", &[3, 17]), "24 bytes"),
        (table().without("table"), "not constant"),
        (bytes().set(int("quantize_axis", 0)), "last axis"),
        (bytes().set(int("bits", 5)), "5 bits"),
        (
            zeros().with("zeros", DataType::Int4, &[3, 2], &[0; 3]),
            "expected [3, 1]",
        ),
        (
            zeros().with("zeros", DataType::Uint8, &[3, 1], &[0; 3]),
            "another type",
        ),
    ] {
        let said = given.refused();
        assert!(said.contains(problem), "{said}, expected {problem}");
    }
}

/// A product with a matrix `[3, 2]` of `NormalFloat`s, in a block of them all.
fn bnb4() -> Given {
    let attributes = [("K", 3), ("N", 2), ("block_size", 16), ("quant_type", 1)];
    let attributes = attributes.map(|(name, value)| int(name, value));
    Given::new("MatMulBnb4", &["x", "b", "absmax"], attributes.to_vec())
        .with("b", DataType::Uint8, &[3], &[0x0f, 0x7e, 0xf0])
        .with_floats("absmax", &[1], &[2.0])
}

#[test]
fn a_matrix_of_normal_floats_has_the_upper_half_first() {
    let (dims, values, how) = bnb4().dequantised();
    assert_eq!(dims, [3, 2]);
    assert_eq!(how, "MatMulBnb4 nf4 in blocks of 16");
    // The columns are -2, 2, 0 and 0.72 · 2, 2, -2.
    let almost = 0.722_956_84 * 2.0;
    assert_eq!(values, [-2.0, almost, 2.0, 2.0, 0.0, -2.0]);
    let (_, values, how) = bnb4().set(int("quant_type", 0)).dequantised();
    assert_eq!(how, "MatMulBnb4 fp4 in blocks of 16");
    assert_eq!(values, [0.0, -0.333_333_33, -0.5, -0.5, 0.5, 0.0]);
    for (given, problem) in [
        (bnb4().set(int("quant_type", 2)), "quant_type 2"),
        (bnb4().set(int("transB", 0)), "not transposed"),
        (bnb4().set(int("K", 4)), "expected [4]"),
        (bnb4().set(int("K", i64::MAX)), "`b` has shape"),
        (bnb4().reshaped("absmax", &[1, 1]), "expected [1]"),
        (bnb4().set(int("block_size", 0)), "`block_size` is 0"),
        (
            bnb4()
                .without("absmax")
                .with_floats("absmax", &[1], &[f32::INFINITY]),
            "`absmax` holds inf",
        ),
    ] {
        let said = given.refused();
        assert!(said.contains(problem), "{said}, expected {problem}");
    }
}

/// A matrix `[2, 4]` of nibbles, in blocks of two rows.
fn linear() -> Given {
    let attributes = vec![int("axis", 0), int("block_size", 2)];
    Given::new("DequantizeLinear", &["q", "scale"], attributes)
        .with("q", DataType::Int4, &[2, 4], &[0x21, 0x43, 0x65, 0x87])
        .with_floats("scale", &[1, 4], &[1.0, 2.0, 3.0, 4.0])
}

#[test]
fn weights_are_dequantised_by_block_channel_and_tensor() {
    let (_, values, how) = linear().dequantised();
    assert_eq!(how, "DequantizeLinear int4 in blocks of 2");
    assert_eq!(values, [1.0, 4.0, 9.0, 16.0, 5.0, 12.0, 21.0, -32.0]);
    let rows = linear().set(int("block_size", 0)).without("scale");
    let (_, values, how) = rows
        .clone()
        .with_floats("scale", &[2], &[1.0, 0.5])
        .dequantised();
    assert_eq!(how, "DequantizeLinear int4 per channel");
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 2.5, 3.0, 3.5, -4.0]);
    let all = with_input(rows, 2, "zero");
    let all = all
        .with_floats("scale", &[], &[2.0])
        .with("zero", DataType::Int4, &[], &[0x01]);
    let (_, values, how) = all.dequantised();
    assert_eq!(how, "DequantizeLinear int4 with zero points per tensor");
    assert_eq!(values, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, -18.0]);
}

#[test]
fn weights_of_eight_bits_stay() {
    let given = Given::new("DequantizeLinear", &["q", "scale"], vec![int("axis", 1)])
        .with("q", DataType::Int8, &[2, 2], &[1, 2, 3, 4])
        .with_floats("scale", &[2], &[1.0, 2.0]);
    let (graph, quantised) = given.rewritten().unwrap();
    assert_eq!(graph.node[0].op_type, "DequantizeLinear");
    assert_eq!(graph.initializer.len(), 2);
    let how = quantised["q"].to_string();
    assert_eq!(how, "DequantizeLinear int8 per channel");
    for (given, problem) in [
        (given.clone().set(int("axis", 2)), "axis 2"),
        (given.clone().reshaped("scale", &[1, 2]), "expected [2]"),
        (given.clone().reshaped("q", &[3, 2]), "4 bytes"),
        (
            given
                .without("scale")
                .with_floats("scale", &[], &[f32::NAN]),
            "`scale` holds NaN",
        ),
    ] {
        let said = given.refused();
        assert!(said.contains(problem), "{said}, expected {problem}");
    }
}

#[test]
fn weights_that_are_not_what_they_say_are_refused() {
    for (given, problem) in [
        (linear().set(int("axis", 2)), "axis 2 of a tensor of rank 2"),
        (linear().set(int("block_size", -2)), "`block_size` is -2"),
        (linear().reshaped("scale", &[4]), "expected [1, 4]"),
        (linear().reshaped("scale", &[1, 0]), "shape [1, 0]"),
        (linear().without("scale"), "`scale` is not constant"),
        (linear().without("q"), "activations in blocks"),
        (linear().set(int("block_size", 0)), "expected [2]"),
        (
            linear().instead("q", DataType::Double, &[2, 4], &[0; 64]),
            "`q` is of Double",
        ),
        (
            with_input(linear(), 2, "zero").with("zero", DataType::Uint4, &[1, 4], &[0; 2]),
            "another type",
        ),
    ] {
        let said = given.refused();
        assert!(said.contains(problem), "{said}, expected {problem}");
    }
}

fn rounding() -> Given {
    Given::new("QuantizeLinear", &["x", "scale", "zero"], vec![])
        .with_floats("scale", &[], &[0.5])
        .with("zero", DataType::Int8, &[], &[3])
}

#[test]
fn activations_are_rounded_by_constants_alone() {
    let (graph, _) = rounding().rewritten().unwrap();
    assert_eq!(graph.node[0].input, ["x", "scale", "zero"]);
    // Without a zero point it is unsigned.
    let mut given = rounding().without("zero");
    given.node.input.truncate(2);
    let (graph, _) = given.rewritten().unwrap();
    let zero = graph.initializer.last().unwrap();
    assert_eq!((zero.data_type, &*zero.raw_data), (2, &[0_u8][..]));
    let (graph, _) = given.set(int("output_dtype", 3)).rewritten().unwrap();
    assert_eq!(graph.initializer.last().unwrap().data_type, 3);
    for (given, problem) in [
        (rounding().without("scale"), "`scale` is not constant"),
        (rounding().without("zero"), "`zero` is not constant"),
        (rounding().set(int("block_size", 16)), "`block_size`"),
        (
            rounding()
                .without("scale")
                .with_floats("scale", &[], &[0.0]),
            "`scale` holds 0",
        ),
        (
            rounding()
                .without("scale")
                .with_floats("scale", &[], &[f32::NAN]),
            "`scale` holds NaN",
        ),
        (
            rounding().instead("zero", DataType::Int4, &[], &[0]),
            "Int4 are not supported",
        ),
        (
            rounding().instead("zero", DataType::Int8, &[2], &[0; 2]),
            "[] or [1]",
        ),
    ] {
        let said = given.refused();
        assert!(said.contains(problem), "{said}, expected {problem}");
    }
}

#[test]
fn an_operator_on_integers_is_one_on_floats_between_roundings() {
    let inputs = ["x", "s", "z", "b", "s", "z", "s", "z"];
    let given = Given::new("QLinearMatMul", &inputs, vec![float("ignored", 1.0)])
        .with_floats("s", &[], &[0.5])
        .with("z", DataType::Uint8, &[], &[3])
        .with("b", DataType::Uint8, &[2, 2], &[1, 2, 3, 4]);
    let (graph, quantised) = given.rewritten().unwrap();
    let operators: Vec<&str> = graph.node.iter().map(|it| &*it.op_type).collect();
    assert_eq!(
        operators,
        [
            "DequantizeLinear",
            "DequantizeLinear",
            "MatMul",
            "QuantizeLinear"
        ]
    );
    assert_eq!(quantised["b"].operator, "QLinearMatMul");
    let missing = Given {
        tensors: Vec::new(),
        ..given
    };
    assert!(missing.refused().contains("`s` is not constant"));
}
