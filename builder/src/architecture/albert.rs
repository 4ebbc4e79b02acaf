//! ALBERT: layers that share their tensors, over narrower embeddings.

use super::bert::{DECODER, Sizes, classify_tokens, embed};
use super::decoder::Decoder;
use super::layers::Attention;
use super::network::{Emitted, Network};
use super::{Architecture, Code};

pub(super) const ALBERT: Architecture = Architecture {
    model_type: "albert",
    code: Code::None,
    bases: &["albert"],
    encode,
    classify: |network, hidden| {
        let width = network.settings.size("hidden_size")?;
        let first = network.first_token(hidden);
        let pooler = network.in_base("pooler");
        let pooled = network.linear(&pooler, [width; 2], &first)?;
        let pooled = network.tanh(&pooled);
        network.linear("classifier", [width, network.labels], &pooled)
    },
    classify_tokens,
    predict: |network, hidden| {
        let sizes = Sizes::read(network.settings)?;
        let width = network.settings.size_or("embedding_size", 128)?;
        let x = network.linear("predictions.dense", [sizes.width, width], hidden)?;
        let x = network.activation("hidden_act", "gelu_new", &x)?;
        let x = network.layer_norm("predictions.LayerNorm", width, sizes.epsilon, &x)?;
        let decoder = Decoder {
            own: "predictions.decoder",
            bias: Some("predictions.bias"),
            ..DECODER
        };
        network.decode(&decoder, [width, sizes.vocabulary], &x)
    },
    unused: &[
        "embeddings.position_ids",
        "embeddings.token_type_ids",
        "pooler.",
        "predictions.decoder.",
        "sop_classifier.",
    ],
};

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    let sizes = Sizes::read(settings)?;
    let width = settings.size_or("embedding_size", 128)?;
    let groups = settings.size_or("num_hidden_groups", 1)?;
    let inner = settings.size_or("inner_group_num", 1)?;
    let x = embed(network, &sizes, width)?;
    let x = network.layer_norm("embeddings.LayerNorm", width, sizes.epsilon, &x)?;
    let mapping = "encoder.embedding_hidden_mapping_in";
    let mut x = network.linear(mapping, [width, sizes.width], &x)?;
    for index in 0..sizes.layers {
        let group = group_of(index, groups, sizes.layers);
        for layer in 0..inner {
            let path = format!("encoder.albert_layer_groups.{group}.albert_layers.{layer}");
            x = self::layer(network, &path, &sizes, &x)?;
        }
    }
    Ok(x)
}

/// Whose tensors layer `index` has. transformers divides by a quotient of floats, which rounds
/// otherwise than integers do: layer 9 of 18 with 14 groups is of group 6, not 7.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there are few layers"
)]
fn group_of(index: usize, groups: usize, layers: usize) -> usize {
    (index as f64 / (layers as f64 / groups as f64)) as usize
}

fn layer(network: &mut Network<'_>, path: &str, sizes: &Sizes, x: &str) -> Emitted {
    let [width, inner] = [sizes.width, sizes.inner];
    let attention = Attention {
        products: ["query", "key", "value"].map(|it| format!("{path}.attention.{it}")),
        width,
        heads: sizes.heads,
        bias: None,
    };
    let attended = network.attention(&attention, x)?;
    let attended = network.linear(&format!("{path}.attention.dense"), [width; 2], &attended)?;
    let sum = network.add(&attended, x);
    let norm = format!("{path}.attention.LayerNorm");
    let x = network.layer_norm(&norm, width, sizes.epsilon, &sum)?;
    let fed = network.linear(&format!("{path}.ffn"), [width, inner], &x)?;
    let fed = network.activation("hidden_act", "gelu_new", &fed)?;
    let fed = network.linear(&format!("{path}.ffn_output"), [inner, width], &fed)?;
    let sum = network.add(&fed, &x);
    let norm = format!("{path}.full_layer_layer_norm");
    network.layer_norm(&norm, width, sizes.epsilon, &sum)
}
