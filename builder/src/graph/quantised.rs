//! What the source file had quantised, and how: the one place that knows it once the values are
//! floats.

use encoderfile::manifest::Finding;
use encoderfile::onnx::{GraphProto, tensor_proto::DataType};
use encoderfile::weights::{GroupLen, WeightsEncoding};
use std::collections::BTreeMap;
use std::fmt;

/// How the values of a tensor were quantised: `scale · (q − zero point)`, or `scale` times an
/// entry of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantised {
    /// The operator that the source file dequantises them by.
    pub operator: String,
    /// What is stored of each value.
    pub code: Code,
    /// In how many bits.
    pub bits: u32,
    /// The axis of the tensor along which there are several scales; `None` where one is for all.
    pub axis: Option<usize>,
    /// How many values along that axis have one scale. `None`: each place has its own.
    pub block_size: Option<usize>,
    /// Whether some zero point is not the middle of the range: values are asymmetric.
    pub zero_points: bool,
}

/// What is stored of a quantised value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// An integer.
    Integer,
    /// A place in bitsandbytes' table of 4-bit floats.
    Fp4,
    /// A place in that of `NormalFloat`.
    Nf4,
}

impl Quantised {
    /// The encoding that has a place for each of the values, but for how exact a scale is: int4
    /// for blocks along a matrix's input dimension that it has too.
    pub(super) fn encoding(&self, input_axis: usize) -> Option<WeightsEncoding> {
        let is_int4 = self.code == Code::Integer && self.bits == 4 && !self.zero_points;
        let group_len = GroupLen::of(self.block_size?)?;
        (is_int4 && self.axis == Some(input_axis)).then_some(WeightsEncoding::Int4(group_len))
    }
}

impl fmt::Display for Quantised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operator, bits, .. } = self;
        match self.code {
            Code::Integer => write!(f, "{operator} int{bits}")?,
            Code::Fp4 => write!(f, "{operator} fp4")?,
            Code::Nf4 => write!(f, "{operator} nf4")?,
        }
        if self.zero_points {
            f.write_str(" with zero points")?;
        }
        match (self.axis, self.block_size) {
            (_, Some(block_size)) => write!(f, " in blocks of {block_size}"),
            (Some(_), None) => f.write_str(" per channel"),
            (None, None) => f.write_str(" per tensor"),
        }
    }
}

/// Operators that multiply by weights what is quantised by its own range, in a graph without
/// `QuantizeLinear`.
const DYNAMIC: [&str; 5] = [
    "ConvInteger",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QAttention",
];

/// Whether a tensor's values lie in the graph as the source file has them.
fn is_kept(data_type: i32) -> bool {
    let data_type = DataType::try_from(data_type);
    matches!(data_type, Ok(DataType::Int8 | DataType::Uint8))
}

/// What became of the matrices that were quantised, and of the activations; `source` is the
/// file's name.
pub(super) fn findings(
    graph: &GraphProto,
    quantised: &BTreeMap<String, Quantised>,
    source: &str,
) -> Vec<Finding> {
    let mut counts: BTreeMap<(String, bool), usize> = BTreeMap::new();
    for tensor in graph.initializer.iter().filter(|it| it.dims.len() > 1) {
        if let Some(how) = quantised.get(&tensor.name) {
            let kind = (how.to_string(), is_kept(tensor.data_type));
            *counts.entry(kind).or_default() += 1;
        }
    }
    let weights = counts.iter().map(|((how, is_kept), count)| {
        let matrices = if *count == 1 { "matrix" } else { "matrices" };
        let became = match is_kept {
            true => "kept in 8 bits",
            false => "dequantised exactly",
        };
        ("weights", format!("{how}, {count} {matrices}, {became}"))
    });
    let nodes = graph.node.iter();
    let roundings = nodes.filter(|it| it.op_type == "QuantizeLinear").count();
    let is_dynamic = |it: &Quantised| DYNAMIC.contains(&it.operator.as_str());
    let activations = match roundings {
        0 => quantised
            .values()
            .any(is_dynamic)
            .then(|| "not rounded, where ONNX Runtime quantises them by what they are".to_owned()),
        1 => Some("rounded at 1 place, by a scale of the file".into()),
        _ => Some(format!(
            "rounded at {roundings} places, by scales of the file"
        )),
    };
    let activations = activations.map(|meaning| ("activations", meaning));
    let finding = |(subject, meaning): (&str, String)| Finding {
        subject: subject.into(),
        meaning,
        source: source.into(),
    };
    weights.chain(activations).map(finding).collect()
}
