//! T5's encoder: norms by the root mean square, biases by relative position, and no others.

use super::network::{Emitted, Network};
use super::{Architecture, Code};
use crate::error::BuildError;
use crate::graph::blocks::mix;
use crate::graph::emit::ints;

pub(super) const T5: Architecture = Architecture {
    model_type: "t5",
    // `T5EncoderModel` has the names of the whole model.
    code: Code::None,
    bases: &["t5"],
    encode,
    classify: |network, _| Err(without_head(network)),
    classify_tokens: |network, _| Err(without_head(network)),
    predict: |network, _| Err(without_head(network)),
    unused: &["decoder.", "lm_head."],
};

fn without_head(network: &Network<'_>) -> BuildError {
    network.settings.refuse("architectures")
}

/// What config.json says.
struct Sizes {
    width: usize,
    heads: usize,
    /// Values of a head.
    head: usize,
    inner: usize,
    epsilon: f32,
    is_gated: bool,
    activation: String,
}

impl Sizes {
    fn read(network: &Network<'_>) -> Result<Self, BuildError> {
        let settings = network.settings;
        for key in [
            "dropout_rate",
            "n_positions",
            "num_decoder_layers",
            "scale_decoder_outputs",
            "task_specific_params",
        ] {
            settings.without_effect(key);
        }
        let projection = settings.text("feed_forward_proj", "relu")?;
        let (is_gated, activation) = match projection.strip_prefix("gated-") {
            // As transformers reads the name of T5 1.1.
            Some("gelu") => (true, "gelu_new"),
            Some(activation) => (true, activation),
            None => (false, projection.as_str()),
        };
        Ok(Self {
            width: settings.size("d_model")?,
            heads: settings.size("num_heads")?,
            head: settings.size("d_kv")?,
            inner: settings.size("d_ff")?,
            epsilon: settings.float("layer_norm_epsilon", 1e-6)?,
            // Written beside what they come of, they go before it.
            is_gated: settings.flag("is_gated_act", is_gated)?,
            activation: settings.text("dense_act_fn", activation)?,
        })
    }
}

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    let sizes = Sizes::read(network)?;
    let ids = network.input("input_ids");
    let rows = [settings.size("vocab_size")?, sizes.width];
    network.passed_over("encoder.embed_tokens.weight");
    let mut x = network.embedding("shared", rows, &ids)?;
    let buckets = settings.size_or("relative_attention_num_buckets", 32)?;
    let farthest = settings.size_or("relative_attention_max_distance", 128)?;
    let table = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
    let table = network.tensor(table, &[buckets, sizes.heads])?;
    let bias = network.relative_bias(&table, buckets, farthest);
    let mask = network.mask();
    let bias = network.add(&bias, &mask);
    for index in 0..settings.layers("num_layers")? {
        let path = format!("encoder.block.{index}");
        let norm = format!("{path}.layer.0.layer_norm");
        let normed = network.root_mean_square(&norm, sizes.width, sizes.epsilon, &x)?;
        let attended = attend(network, &format!("{path}.layer.0"), &sizes, &bias, &normed)?;
        x = network.add(&x, &attended);
        let norm = format!("{path}.layer.1.layer_norm");
        let normed = network.root_mean_square(&norm, sizes.width, sizes.epsilon, &x)?;
        let fed = feed_forward(network, &format!("{path}.layer.1"), &sizes, &normed)?;
        x = network.add(&x, &fed);
    }
    network.root_mean_square("encoder.final_layer_norm", sizes.width, sizes.epsilon, &x)
}

/// Scores are not scaled.
fn attend(network: &mut Network<'_>, path: &str, sizes: &Sizes, bias: &str, x: &str) -> Emitted {
    let path = format!("{path}.SelfAttention");
    let [width, narrow] = [sizes.width, sizes.heads * sizes.head];
    let query = network.product(&format!("{path}.q"), [width, narrow], x)?;
    let key = network.product(&format!("{path}.k"), [width, narrow], x)?;
    let value = network.product(&format!("{path}.v"), [width, narrow], x)?;
    let [query, key, value] = [query, key, value].map(|it| network.split(&it, sizes.heads));
    let emitter = &mut network.emitter;
    let key = emitter.node_with("Transpose", &[&key], vec![ints("perm", &[0, 1, 3, 2])]);
    let scores = emitter.node("MatMul", &[&query, &key]);
    let scores = emitter.node("Add", &[&scores, bias]);
    let output = emitter.fresh("attention");
    mix(emitter, &scores, &value, &output);
    network.product(&format!("{path}.o"), [narrow, width], &output)
}

fn feed_forward(network: &mut Network<'_>, path: &str, sizes: &Sizes, x: &str) -> Emitted {
    let path = format!("{path}.DenseReluDense");
    let into = [sizes.width, sizes.inner];
    let fed = if sizes.is_gated {
        let input = network.product(&format!("{path}.wi_0"), into, x)?;
        let input = network.activated("dense_act_fn", &sizes.activation, &input)?;
        let gate = network.product(&format!("{path}.wi_1"), into, x)?;
        network.emitter.node("Mul", &[&input, &gate])
    } else {
        let input = network.product(&format!("{path}.wi"), into, x)?;
        network.activated("dense_act_fn", &sizes.activation, &input)?
    };
    network.product(&format!("{path}.wo"), [sizes.inner, sizes.width], &fed)
}
