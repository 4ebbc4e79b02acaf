//! `ConvBERT`: half of the heads are convolutions whose kernels depend on the token.

use super::bert::{
    Sizes, classify_activated, classify_tokens, embed, feed_forward, predict_generated,
};
use super::network::{Emitted, Network};
use super::{Architecture, Code};
use crate::error::BuildError;
use crate::graph::emit::{int, ints};
use serde_json::json;

pub(super) const CONVBERT: Architecture = Architecture {
    model_type: "convbert",
    code: Code::None,
    bases: &["convbert"],
    encode,
    classify: classify_activated,
    classify_tokens,
    predict: predict_generated,
    unused: &["embeddings.position_ids", "embeddings.token_type_ids"],
};

/// What config.json says beside BERT's sizes.
struct Heads {
    /// That attend, of `size` values each; as many more are of the convolution.
    count: usize,
    size: usize,
    /// Tokens that a kernel spans.
    kernel: usize,
}

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    let sizes = Sizes::read(settings)?;
    settings.only("num_groups", &json!(1))?;
    let narrow = settings.size_or("embedding_size", 768)?;
    let heads = heads(network, &sizes)?;
    let x = embed(network, &sizes, narrow)?;
    let mut x = network.layer_norm("embeddings.LayerNorm", narrow, sizes.epsilon, &x)?;
    if narrow != sizes.width {
        x = network.linear("embeddings_project", [narrow, sizes.width], &x)?;
    }
    for index in 0..sizes.layers {
        let path = format!("encoder.layer.{index}");
        let attended = attend(network, &path, &sizes, &heads, &x)?;
        let output = format!("{path}.attention.output.dense");
        let attended = network.linear(&output, [sizes.width; 2], &attended)?;
        let sum = network.add(&attended, &x);
        let norm = format!("{path}.attention.output.LayerNorm");
        x = network.layer_norm(&norm, sizes.width, sizes.epsilon, &sum)?;
        let fed = feed_forward(network, &path, &sizes, &x)?;
        let sum = network.add(&fed, &x);
        let norm = format!("{path}.output.LayerNorm");
        x = network.layer_norm(&norm, sizes.width, sizes.epsilon, &sum)?;
    }
    Ok(x)
}

fn heads(network: &Network<'_>, sizes: &Sizes) -> Result<Heads, BuildError> {
    let settings = network.settings;
    let ratio = settings.size_or("head_ratio", 2)?;
    let kernel = settings.size_or("conv_kernel_size", 9)?;
    if kernel.is_multiple_of(2) {
        return Err(settings.refuse("conv_kernel_size"));
    }
    let count = (sizes.heads / ratio).max(1);
    Ok(Heads {
        count,
        size: network.head_size(sizes.width, count)? / 2,
        kernel,
    })
}

/// Attention's heads, and then the convolution's: `[batch, tokens, width]`.
fn attend(network: &mut Network<'_>, path: &str, sizes: &Sizes, heads: &Heads, x: &str) -> Emitted {
    let path = format!("{path}.attention.self");
    let narrow = heads.count * heads.size;
    let paths = ["query", "key", "value"].map(|it| format!("{path}.{it}"));
    let [query, key, value] = network.products(&paths, [sizes.width, narrow], x)?;
    let convolved = convolve(network, &path, sizes, heads, [x, &query])?;
    let [query, key, value] = [query, key, value].map(|it| network.split(&it, heads.count));
    let mask = network.mask();
    let attended = network.attend([&query, &key, &value], heads.size, &mask);
    let both = vec![int("axis", 2)];
    Ok(network
        .emitter
        .node_with("Concat", &[&attended, &convolved], both))
}

/// Sums over the tokens around each, with weights that are a softmax of what the token's
/// query and its neighbours give: `[batch, tokens, heads · size]`.
fn convolve(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    heads: &Heads,
    [x, query]: [&str; 2],
) -> Emitted {
    let narrow = heads.count * heads.size;
    let keys = separable(network, path, sizes, heads, x)?;
    let mixed = network.emitter.node("Mul", &[&keys, query]);
    let kernels = format!("{path}.conv_kernel_layer");
    let kernels = network.linear(&kernels, [narrow, heads.count * heads.kernel], &mixed)?;
    let values = network.linear(&format!("{path}.conv_out_layer"), [sizes.width, narrow], x)?;
    let [count, size, kernel] =
        [heads.count, heads.size, heads.kernel].map(|it| i64::try_from(it).unwrap_or(0));
    let emitter = &mut network.emitter;
    let shape = emitter.integers(&[0, 0, count, kernel, 1]);
    let kernels = emitter.node("Reshape", &[&kernels, &shape]);
    let weights = emitter.node_with("Softmax", &[&kernels], vec![int("axis", 3)]);
    let around = kernel / 2;
    let pads = emitter.integers(&[0, around, 0, 0, around, 0]);
    let padded = emitter.node("Pad", &[&values, &pads]);
    let last = emitter.integers(&[-1]);
    let shifted: Vec<String> = (0..kernel)
        .map(|start| {
            let end = match start + 1 - kernel {
                0 => i64::MAX,
                end => end,
            };
            let shifted = emitter.slice(&padded, 1, start, end);
            emitter.node("Unsqueeze", &[&shifted, &last])
        })
        .collect();
    let shifted: Vec<&str> = shifted.iter().map(String::as_str).collect();
    let neighbours = emitter.node_with("Concat", &shifted, vec![int("axis", -1)]);
    let shape = emitter.integers(&[0, 0, count, size, kernel]);
    let neighbours = emitter.node("Reshape", &[&neighbours, &shape]);
    let sums = emitter.node("MatMul", &[&neighbours, &weights]);
    let shape = emitter.integers(&[0, 0, count * size]);
    Ok(emitter.node("Reshape", &[&sums, &shape]))
}

/// A convolution of each channel by itself, and then one of all channels of a token.
fn separable(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    heads: &Heads,
    x: &str,
) -> Emitted {
    let (width, narrow) = (sizes.width, heads.count * heads.size);
    let path = format!("{path}.key_conv_attn_layer");
    let depthwise = format!("{path}.depthwise.weight");
    let depthwise = network.tensor(&depthwise, &[width, 1, heads.kernel])?;
    let pointwise = format!("{path}.pointwise.weight");
    let pointwise = network.tensor(&pointwise, &[narrow, width, 1])?;
    let bias = network.tensor(&format!("{path}.bias"), &[narrow, 1])?;
    let channels = network.turned(x);
    let [kernel, group] = [heads.kernel, width].map(|it| i64::try_from(it).unwrap_or(0));
    let emitter = &mut network.emitter;
    let around = kernel / 2;
    let attributes = vec![
        int("group", group),
        ints("kernel_shape", &[kernel]),
        ints("pads", &[around, around]),
    ];
    let channels = emitter.node_with("Conv", &[&channels, &depthwise], attributes);
    let one = vec![ints("kernel_shape", &[1])];
    let channels = emitter.node_with("Conv", &[&channels, &pointwise], one);
    let channels = emitter.node("Add", &[&channels, &bias]);
    Ok(network.turned(&channels))
}
