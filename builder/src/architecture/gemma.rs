//! Gemma 3 whose tokens see those after them too, as in `EmbeddingGemma`: norms before and after
//! each part, norms of queries and keys, and most layers with a sliding window.

use super::gated::{Kind, Sizes, attend, feed_forward};
use super::network::{Emitted, Network};
use super::rotary::Rope;
use super::{Architecture, Code};
use crate::error::BuildError;
use crate::graph::blocks::root_mean_square;
use crate::graph::emit::int;
use encoderfile::onnx::tensor_proto::DataType;
use serde_json::{Value, json};

pub(super) const GEMMA_3_TEXT: Architecture = Architecture {
    model_type: "gemma3_text",
    code: Code::None,
    bases: &["model"],
    encode,
    classify,
    classify_tokens: |network, _| Err(network.settings.refuse("architectures")),
    predict: |network, _| Err(network.settings.refuse("architectures")),
    unused: &["lm_head."],
};

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    settings.exactly("use_bidirectional_attention", &json!(true))?;
    settings.only("attn_logit_softcapping", &Value::Null)?;
    // Of a head that predicts words, and what `layer_types` was made of.
    for key in ["final_logit_softcapping", "_sliding_window_pattern"] {
        settings.without_effect(key);
    }
    let sizes = Sizes::read(settings, 1e-6)?;
    let mut x = embed(network, &sizes)?;
    let [global, local] = ropes(network)?.map(|it| network.rotation(sizes.head, it));
    let mask = network.mask();
    // What is told is how many tokens a window spans.
    let window = settings.integer("sliding_window", 4096)? / 2;
    let window = network.window(window, &mask);
    let scale = scale(network)?;
    let pattern = settings.size_or("sliding_window_pattern", 6)?;
    let is_local = |index: usize| !(index + 1).is_multiple_of(pattern);
    let local_layers = settings.local_layers(sizes.layers, is_local)?;
    for (index, is_local) in local_layers.into_iter().enumerate() {
        let (rotation, mask) = match is_local {
            true => (&local, &window),
            false => (&global, &mask),
        };
        let kind = Kind {
            rotation,
            mask,
            scale: &scale,
        };
        x = layer(network, &format!("layers.{index}"), &sizes, &kind, &x)?;
    }
    norm(network, "norm", sizes.width, sizes.epsilon, &x)
}

/// Words, by the root of their width.
fn embed(network: &mut Network<'_>, sizes: &Sizes) -> Emitted {
    let ids = network.input("input_ids");
    let rows = [sizes.vocabulary, sizes.width];
    let words = network.embedding("embed_tokens", rows, &ids)?;
    #[allow(clippy::cast_precision_loss, reason = "widths are thousands at most")]
    let root = network.emitter.float((sizes.width as f32).sqrt());
    Ok(network.emitter.node("Mul", &[&words, &root]))
}

/// Of global and of local layers; scaling is of the former alone.
fn ropes(network: &Network<'_>) -> Result<[Rope; 2], BuildError> {
    let settings = network.settings;
    let local = settings.float("rope_local_base_freq", 10_000.0)?;
    let global = settings.float("rope_theta", 1_000_000.0)?;
    let scaling = settings.object("rope_scaling")?;
    Ok([
        Rope::read_kind(settings, "full_attention", global, scaling)?,
        Rope::read_kind(settings, "sliding_attention", local, None)?,
    ])
}

/// `1 / √query_pre_attn_scalar`.
fn scale(network: &mut Network<'_>) -> Emitted {
    let scalar = network.settings.float("query_pre_attn_scalar", 256.0)?;
    match scalar > 0.0 {
        true => Ok(network.emitter.float(1.0 / scalar.sqrt())),
        false => Err(network.settings.refuse("query_pre_attn_scalar")),
    }
}

fn layer(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    kind: &Kind<'_>,
    x: &str,
) -> Emitted {
    let Sizes {
        width,
        head,
        epsilon,
        ..
    } = *sizes;
    let normed = norm(
        network,
        &format!("{path}.input_layernorm"),
        width,
        epsilon,
        x,
    )?;
    let norms =
        |network: &mut Network<'_>, path: &str, x: &str| norm(network, path, head, epsilon, x);
    let attended = attend(network, path, sizes, kind, norms, &normed)?;
    let after = format!("{path}.post_attention_layernorm");
    let attended = norm(network, &after, width, epsilon, &attended)?;
    let x = network.add(x, &attended);
    let before = format!("{path}.pre_feedforward_layernorm");
    let normed = norm(network, &before, width, epsilon, &x)?;
    let activation = ["hidden_activation", "gelu_pytorch_tanh"];
    let fed = feed_forward(network, path, sizes, activation, false, &normed)?;
    let after = format!("{path}.post_feedforward_layernorm");
    let fed = norm(network, &after, width, epsilon, &fed)?;
    Ok(network.add(&x, &fed))
}

/// The values by their root mean square, times one more than the tensor says.
fn norm(network: &mut Network<'_>, path: &str, width: usize, epsilon: f32, x: &str) -> Emitted {
    let scale = network.tensor(&format!("{path}.weight"), &[width])?;
    network.emitter.enter(path);
    let one = network.emitter.float(1.0);
    let scale = network.add(&scale, &one);
    let output = network.emitter.fresh("norm");
    root_mean_square(&mut network.emitter, x, &scale, epsilon, &output);
    Ok(output)
}

/// Logits of the last token that is no padding.
fn classify(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let settings = network.settings;
    let width = settings.size("hidden_size")?;
    // Null would mean the last token, whatever it is.
    if !settings.has("pad_token_id") {
        return Err(settings.refuse("pad_token_id"));
    }
    let padding = settings.integer("pad_token_id", 0)?;
    let ids = network.input("input_ids");
    let positions = network.positions();
    let emitter = &mut network.emitter;
    emitter.enter("last_token");
    let padding = emitter.integer(padding);
    let is_padding = emitter.node("Equal", &[&ids, &padding]);
    let is_token = emitter.node("Not", &[&is_padding]);
    let to_integer = vec![int("to", i64::from(DataType::Int64 as i32))];
    let is_token = emitter.node_with("Cast", &[&is_token], to_integer);
    let places = emitter.node("Mul", &[&positions, &is_token]);
    // A batch of one, as everything is computed.
    let last = emitter.node_with("ReduceMax", &[&places], vec![int("keepdims", 0)]);
    let last = emitter.node_with("Gather", &[hidden, &last], vec![int("axis", 1)]);
    network.product("score", [width, network.labels], &last)
}
