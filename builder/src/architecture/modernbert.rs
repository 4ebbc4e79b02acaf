//! `ModernBERT`: rotary positions, `GeGLU`, norms before each part, and most layers with a
//! sliding window.

use super::decoder::Decoder;
use super::network::{Emitted, Network};
use super::rotary::Rope;
use super::{Architecture, Code};
use crate::error::BuildError;
use crate::graph::emit::int;
use serde_json::json;

pub(super) const MODERNBERT: Architecture = Architecture {
    model_type: "modernbert",
    code: Code::None,
    bases: &["model"],
    encode,
    classify: |network, hidden| {
        let pooled = match network.settings.text("classifier_pooling", "cls")?.as_str() {
            "cls" => network.first_token(hidden),
            "mean" => network.mean_over_tokens(hidden),
            _ => return Err(network.settings.refuse("classifier_pooling")),
        };
        let x = head(network, &pooled)?;
        let width = network.settings.size("hidden_size")?;
        network.linear("classifier", [width, network.labels], &x)
    },
    classify_tokens: |network, hidden| {
        let x = head(network, hidden)?;
        let width = network.settings.size("hidden_size")?;
        network.linear("classifier", [width, network.labels], &x)
    },
    predict: |network, hidden| {
        let x = head(network, hidden)?;
        let settings = network.settings;
        let sizes = [settings.size("hidden_size")?, settings.size("vocab_size")?];
        let bias = settings.flag("decoder_bias", true)?;
        let decoder = Decoder {
            own: "decoder",
            words: "embeddings.tok_embeddings.weight",
            bias: bias.then_some("decoder.bias"),
            tied: true,
        };
        network.decode(&decoder, sizes, &x)
    },
    // Of heads that were not asked for, where the checkpoint has no prefix.
    unused: &["head.", "decoder."],
};

/// Keys of training, of heads that read them where they are written, and those of BERT that
/// published configs have, and nothing reads.
const WITHOUT_EFFECT: [&str; 14] = [
    "classifier_activation",
    "classifier_bias",
    "classifier_pooling",
    "compile_matmul",
    "decoder_bias",
    "deterministic_flash_attn",
    "embedding_dropout",
    "initializer_cutoff_factor",
    "layer_norm_eps",
    "mlp_dropout",
    "reference_compile",
    "repad_logits_with_grad",
    "sparse_pred_ignore_index",
    "sparse_prediction",
];

/// What config.json says.
struct Sizes {
    width: usize,
    heads: usize,
    inner: usize,
    epsilon: f32,
    norm_bias: bool,
    attention_bias: bool,
    mlp_bias: bool,
    /// Tokens on each side that a local layer attends to.
    window: i64,
}

/// What a layer has besides its tensors.
struct Kind<'a> {
    rotation: &'a [String; 2],
    mask: &'a str,
}

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    let sizes = sizes(network)?;
    let Sizes { width, .. } = sizes;
    let ids = network.input("input_ids");
    let rows = [settings.size("vocab_size")?, width];
    let x = network.embedding("embeddings.tok_embeddings", rows, &ids)?;
    let mut x = norm(network, "embeddings.norm", &sizes, &x)?;
    let size = network.head_size(width, sizes.heads)?;
    let global_theta = settings.float("global_rope_theta", 160_000.0)?;
    let local_theta = settings.float("local_rope_theta", 10_000.0)?;
    let scaling = settings.object("rope_scaling")?;
    let global = Rope::read_kind(settings, "full_attention", global_theta, scaling)?;
    let local = Rope::read_kind(settings, "sliding_attention", local_theta, scaling)?;
    let [global, local] = [global, local].map(|it| network.rotation(size, it));
    let mask = network.mask();
    let window = network.window(sizes.window, &mask);
    let every = settings.size_or("global_attn_every_n_layers", 3)?;
    let layers = settings.layers("num_hidden_layers")?;
    let local_layers = settings.local_layers(layers, |index| !index.is_multiple_of(every))?;
    for (index, is_local) in local_layers.into_iter().enumerate() {
        let kind = match is_local {
            false => Kind {
                rotation: &global,
                mask: &mask,
            },
            true => Kind {
                rotation: &local,
                mask: &window,
            },
        };
        let path = format!("layers.{index}");
        let normed = match index {
            0 => x.clone(),
            _ => norm(network, &format!("{path}.attn_norm"), &sizes, &x)?,
        };
        let attended = attend(network, &path, &sizes, &kind, &normed)?;
        x = network.add(&x, &attended);
        let normed = norm(network, &format!("{path}.mlp_norm"), &sizes, &x)?;
        let fed = feed_forward(network, &path, &sizes, &normed)?;
        x = network.add(&x, &fed);
    }
    norm(network, "final_norm", &sizes, &x)
}

fn sizes(network: &Network<'_>) -> Result<Sizes, BuildError> {
    let settings = network.settings;
    for key in WITHOUT_EFFECT {
        settings.without_effect(key);
    }
    settings.only("position_embedding_type", &json!("absolute"))?;
    Ok(Sizes {
        width: settings.size("hidden_size")?,
        heads: settings.size("num_attention_heads")?,
        inner: settings.size("intermediate_size")?,
        epsilon: settings.float("norm_eps", 1e-5)?,
        norm_bias: settings.flag("norm_bias", false)?,
        attention_bias: settings.flag("attention_bias", false)?,
        mlp_bias: settings.flag("mlp_bias", false)?,
        window: settings.integer("local_attention", 128)? / 2,
    })
}

fn norm(network: &mut Network<'_>, path: &str, sizes: &Sizes, x: &str) -> Emitted {
    match sizes.norm_bias {
        true => network.layer_norm(path, sizes.width, sizes.epsilon, x),
        false => network.scale_norm(path, sizes.width, sizes.epsilon, x),
    }
}

fn attend(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    kind: &Kind<'_>,
    x: &str,
) -> Emitted {
    let Sizes { width, heads, .. } = *sizes;
    let size = network.head_size(width, heads)?;
    let mut parts = Vec::new();
    for index in 0..3 {
        let name = format!("{path}.attn.Wqkv");
        let mut part = network.linear_part(&name, [width; 2], [index, 3], x)?;
        if sizes.attention_bias {
            part = network.add_part(&name, width, [index, 3], &part)?;
        }
        parts.push(network.split(&part, heads));
    }
    let query = network.rotate(&parts[0], kind.rotation, size);
    let key = network.rotate(&parts[1], kind.rotation, size);
    let output = network.attend([&query, &key, &parts[2]], size, kind.mask);
    let path = format!("{path}.attn.Wo");
    network.linear_if(&path, [width; 2], sizes.attention_bias, &output)
}

fn feed_forward(network: &mut Network<'_>, path: &str, sizes: &Sizes, x: &str) -> Emitted {
    let [width, inner] = [sizes.width, sizes.inner];
    let both = format!("{path}.mlp.Wi");
    let both = network.linear_if(&both, [width, inner.saturating_mul(2)], sizes.mlp_bias, x)?;
    let [input, gate] = network.emitter.halves(&both);
    let input = network.activation("hidden_activation", "gelu", &input)?;
    let gated = network.emitter.node("Mul", &[&input, &gate]);
    network.linear_if(
        &format!("{path}.mlp.Wo"),
        [inner, width],
        sizes.mlp_bias,
        &gated,
    )
}

fn head(network: &mut Network<'_>, x: &str) -> Emitted {
    let sizes = sizes(network)?;
    let bias = network.settings.flag("classifier_bias", false)?;
    let x = network.linear_if("head.dense", [sizes.width; 2], bias, x)?;
    let x = network.activation("classifier_activation", "gelu", &x)?;
    norm(network, "head.norm", &sizes, &x)
}

impl Network<'_> {
    /// What hides every key farther than `reach` tokens, beside what `mask` hides.
    pub(super) fn window(&mut self, reach: i64, mask: &str) -> String {
        let positions = self.positions();
        let emitter = &mut self.emitter;
        emitter.enter("window");
        let column = emitter.integers(&[1]);
        let queries = emitter.node("Unsqueeze", &[&positions, &column]);
        let distance = emitter.node("Sub", &[&queries, &positions]);
        let distance = emitter.node("Abs", &[&distance]);
        let reach = emitter.integer(reach);
        let is_near = emitter.node("LessOrEqual", &[&distance, &reach]);
        let batch = emitter.integers(&[0, 1]);
        let is_near = emitter.node("Unsqueeze", &[&is_near, &batch]);
        let least = emitter.float(f32::MIN);
        emitter.node("Where", &[&is_near, mask, &least])
    }

    /// The mean over the tokens that are attended to: `[batch, width]`.
    pub(super) fn mean_over_tokens(&mut self, x: &str) -> String {
        let mask = self.input("attention_mask");
        let emitter = &mut self.emitter;
        emitter.enter("mean");
        let last = emitter.integers(&[-1]);
        let mask = emitter.node("Unsqueeze", &[&mask, &last]);
        let to_float = vec![int("to", 1)];
        let mask = emitter.node_with("Cast", &[&mask], to_float);
        let kept = emitter.node("Mul", &[x, &mask]);
        let tokens = emitter.integers(&[1]);
        let sum = vec![int("keepdims", 0)];
        let total = emitter.node_with("ReduceSum", &[&kept, &tokens], sum.clone());
        let count = emitter.node_with("ReduceSum", &[&mask, &tokens], sum);
        emitter.node("Div", &[&total, &count])
    }
}
