//! Operators that ONNX Runtime's optimiser and quantiser leave, and those of opset 23
//! that stand for several, rewritten as simpler ones of the ONNX standard: the runtime
//! need not know them, and `extract` writes what any ONNX runtime reads.
//!
//! Everything here holds for a batch of one without padding, which is all that
//! is ever computed.

mod activations;
mod attention;
mod block_quantised;
mod constants;
mod layers;
mod linear_quantisation;
mod opset_23;
mod qlinear;
mod quantised;
#[cfg(test)]
mod tests;

use super::emit::Emitter;
use super::quantised::Quantised;
use crate::error::BuildError;
use encoderfile::GraphError;
use encoderfile::onnx::{AttributeProto, GraphProto, NodeProto};
use std::collections::BTreeMap;
use std::path::Path;

/// ONNX Runtime's own domain.
const DOMAIN: &str = "com.microsoft";

/// Why a node cannot be rewritten.
type Rewritten = Result<(), String>;

type Rewrite = fn(&Fused<'_>, &mut Emitter<'_>) -> Rewritten;

/// By domain and operator.
const REWRITES: [(&str, &str, Rewrite); 42] = [
    ("", "Attention", opset_23::attention),
    ("", "RMSNormalization", opset_23::rms_normalization),
    ("", "RotaryEmbedding", opset_23::rotary_embedding),
    ("", "ConvInteger", quantised::conv_integer),
    (
        "",
        "DequantizeLinear",
        linear_quantisation::dequantize_linear,
    ),
    (
        "",
        "DynamicQuantizeLinear",
        quantised::dynamic_quantize_linear,
    ),
    ("", "Gather", linear_quantisation::gather),
    ("", "MatMulInteger", quantised::mat_mul_integer),
    ("", "QLinearConv", qlinear::conv),
    ("", "QLinearMatMul", qlinear::mat_mul),
    ("", "QuantizeLinear", linear_quantisation::quantize_linear),
    (
        "",
        "SimplifiedLayerNormalization",
        layers::simplified_layer_normalization,
    ),
    (DOMAIN, "Attention", attention::attention),
    (DOMAIN, "BiasGelu", activations::bias_gelu),
    (
        DOMAIN,
        "DequantizeLinear",
        linear_quantisation::dequantize_linear,
    ),
    (
        DOMAIN,
        "DynamicQuantizeMatMul",
        quantised::dynamic_quantize_mat_mul,
    ),
    (
        DOMAIN,
        "EmbedLayerNormalization",
        layers::embed_layer_normalization,
    ),
    (DOMAIN, "FastGelu", activations::fast_gelu),
    (DOMAIN, "FusedConv", layers::fused_conv),
    (DOMAIN, "FusedGemm", layers::fused_gemm),
    (DOMAIN, "FusedMatMul", layers::fused_mat_mul),
    (
        DOMAIN,
        "GatherBlockQuantized",
        block_quantised::gather_block_quantized,
    ),
    (DOMAIN, "Gelu", activations::gelu),
    (DOMAIN, "MatMulBnb4", block_quantised::mat_mul_bnb4),
    (
        DOMAIN,
        "MatMulIntegerToFloat",
        quantised::mat_mul_integer_to_float,
    ),
    (DOMAIN, "MatMulNBits", block_quantised::mat_mul_n_bits),
    (
        DOMAIN,
        "MultiHeadAttention",
        attention::multi_head_attention,
    ),
    (DOMAIN, "QAttention", quantised::attention),
    (
        DOMAIN,
        "QEmbedLayerNormalization",
        quantised::embed_layer_normalization,
    ),
    (DOMAIN, "QGemm", qlinear::gemm),
    (DOMAIN, "QLinearAdd", qlinear::add),
    (DOMAIN, "QLinearConcat", qlinear::concat),
    (DOMAIN, "QLinearLeakyRelu", qlinear::leaky_relu),
    (DOMAIN, "QLinearMul", qlinear::mul),
    (DOMAIN, "QLinearSigmoid", qlinear::sigmoid),
    (DOMAIN, "QLinearSoftmax", qlinear::softmax),
    (DOMAIN, "QLinearWhere", qlinear::choose),
    (
        DOMAIN,
        "QuantizeLinear",
        linear_quantisation::quantize_linear,
    ),
    (DOMAIN, "QuickGelu", activations::quick_gelu),
    (
        DOMAIN,
        "SkipLayerNormalization",
        layers::skip_layer_normalization,
    ),
    (
        DOMAIN,
        "SkipSimplifiedLayerNormalization",
        layers::skip_simplified_layer_normalization,
    ),
    (DOMAIN, "TransposeMatMul", layers::fused_mat_mul),
];

/// Rewrites every node of a graph that has a rewriting, and adds to `quantised` how the tensors
/// were that it has then.
pub(super) fn rewrite(
    path: &Path,
    graph: &mut GraphProto,
    opset: i64,
    quantised: &mut BTreeMap<String, Quantised>,
) -> Result<(), BuildError> {
    let nodes = std::mem::take(&mut graph.node);
    let tensors = std::mem::take(&mut graph.initializer);
    let mut emitter = Emitter::new(&nodes, &tensors, &graph.output, opset);
    for proto in &nodes {
        if emitter.is_absorbed(proto) {
            continue;
        }
        let own_domain = match proto.domain.as_str() {
            "ai.onnx" => "",
            domain => domain,
        };
        let mut rewrites = REWRITES.iter();
        let rewrite = rewrites
            .find(|(domain, op_type, _)| own_domain == *domain && proto.op_type == *op_type);
        let node = Fused { proto };
        let Some((.., rewrite)) = rewrite else {
            emitter.keep(proto);
            continue;
        };
        emitter.begin(node.output(0).unwrap_or_default());
        rewrite(&node, &mut emitter).map_err(|problem| BuildError::Graph {
            path: path.to_owned(),
            source: GraphError::Node {
                op_type: node.full_type(),
                node: node.name().into(),
                problem,
            },
        })?;
    }
    let written = emitter.finish();
    graph.node = written.nodes;
    graph.initializer = tensors;
    graph.initializer.extend(written.initializers);
    // What was rewritten before is a simpler operator by now.
    for (tensor, how) in written.quantised {
        quantised.entry(tensor).or_insert(how);
    }
    Ok(())
}

/// A node to be rewritten.
struct Fused<'a> {
    proto: &'a NodeProto,
}

impl<'a> Fused<'a> {
    fn full_type(&self) -> String {
        match self.proto.domain.as_str() {
            "" => self.proto.op_type.clone(),
            domain => format!("{domain}.{}", self.proto.op_type),
        }
    }

    /// For messages.
    fn name(&self) -> &'a str {
        match self.proto.name.as_str() {
            "" => self.output(0).unwrap_or_default(),
            name => name,
        }
    }

    /// The input at `place`, if it is given.
    fn input(&self, place: usize) -> Option<&'a str> {
        given(&self.proto.input, place)
    }

    fn required(&self, place: usize) -> Result<&'a str, String> {
        self.input(place)
            .ok_or_else(|| format!("it has no input {place}"))
    }

    /// The output at `place`, if it is asked for.
    fn output(&self, place: usize) -> Option<&'a str> {
        given(&self.proto.output, place)
    }

    fn result(&self) -> Result<&'a str, String> {
        self.output(0).ok_or_else(|| "it has no output".into())
    }

    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.proto.attribute.iter().find(|it| it.name == name)
    }

    fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |it| it.f)
    }

    fn integer(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |it| it.i)
    }

    /// Fails if one of these inputs is given.
    fn without_inputs(&self, places: &[(usize, &str)]) -> Rewritten {
        match places
            .iter()
            .find(|(place, _)| self.input(*place).is_some())
        {
            Some((_, what)) => Err(format!("{what} is not supported")),
            None => Ok(()),
        }
    }

    /// Fails if one of these attributes is set.
    fn without_flags(&self, names: &[&str]) -> Rewritten {
        match names.iter().find(|name| self.integer(name, 0) != 0) {
            Some(name) => Err(format!("attribute `{name}` is not supported")),
            None => Ok(()),
        }
    }
}

fn given(names: &[String], place: usize) -> Option<&str> {
    let name = names.get(place)?;
    (!name.is_empty()).then_some(name)
}
