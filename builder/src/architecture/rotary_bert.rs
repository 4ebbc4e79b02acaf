//! BERT with rotary positions and a gate in its feed-forward part: Nomic's `nomic_bert`, and
//! Alibaba's `new`, which transformers calls `gte`.
//!
//! transformers has both since version 5. Before that their folders named code of their own in
//! `auto_map`, with other keys in config.json and other names for tensors, and transformers
//! reads the latter still.

mod dialects;

use super::bert::{DECODER, UNUSED, classify_pooled, classify_pooled_of, classify_tokens};
use super::decoder::Decoder;
use super::network::{Emitted, Network};
use super::rotary::Rope;
use super::{Architecture, Code};
use serde_json::json;

pub(super) const NOMIC_BERT: Architecture = Architecture {
    model_type: "nomic_bert",
    code: Code::MayBe("NomicBert"),
    bases: &["nomic_bert", "bert"],
    encode: |network| {
        let sizes = dialects::nomic(network)?;
        encode(network, &sizes)
    },
    classify: |network, hidden| {
        let width = dialects::nomic(network)?.width;
        classify_pooled_of(network, width, hidden)
    },
    classify_tokens: |network, hidden| {
        let width = dialects::nomic(network)?.width;
        network.linear("classifier", [width, network.labels], hidden)
    },
    predict: |network, hidden| {
        let sizes = dialects::nomic(network)?;
        let width = sizes.width;
        let transform = "cls.predictions.transform";
        let x = network.linear(&format!("{transform}.dense"), [width; 2], hidden)?;
        let x = network.activated(sizes.activation_key, &sizes.activation, &x)?;
        let norm = format!("{transform}.layer_norm");
        let x = network.layer_norm(&norm, width, sizes.epsilon, &x)?;
        network.decode(&DECODER, [width, sizes.vocabulary], &x)
    },
    unused: UNUSED,
};

pub(super) const GTE: Architecture = of("gte", Code::MayBe("Gte"));
pub(super) const NEW: Architecture = of("new", Code::Is("New"));

const fn of(model_type: &'static str, code: Code) -> Architecture {
    Architecture {
        model_type,
        code,
        bases: &["gte", "new"],
        encode: |network| {
            let sizes = dialects::gte(network)?;
            encode(network, &sizes)
        },
        classify: classify_pooled,
        classify_tokens,
        predict: predict_gte,
        unused: &["embeddings.position_ids", "lm_head.", "pooler."],
    }
}

/// What config.json says.
struct Sizes {
    vocabulary: usize,
    width: usize,
    heads: usize,
    inner: usize,
    layers: usize,
    segments: usize,
    epsilon: f32,
    rope: Rope,
    /// Whether attention's products have biases, and the feed-forward part's last one.
    biased: bool,
    activation_key: &'static str,
    activation: String,
}

/// What a layer's tensors are called.
struct Names {
    layers: &'static str,
    /// The norm of the embeddings.
    embeddings: &'static str,
    products: Stored<3>,
    output: &'static str,
    attention_norm: &'static str,
    /// The factor and the gate.
    gate: Stored<2>,
    down: &'static str,
    feed_forward_norm: &'static str,
}

/// Matrices in one, or each by itself.
#[derive(Clone, Copy)]
enum Stored<const COUNT: usize> {
    Together(&'static str),
    Apart([&'static str; COUNT]),
}

fn encode(network: &mut Network<'_>, sizes: &Sizes) -> Emitted {
    let names = dialects::names(network);
    let Sizes { width, epsilon, .. } = *sizes;
    let x = embed(network, sizes)?;
    let mut x = network.layer_norm(names.embeddings, width, epsilon, &x)?;
    let size = network.head_size(width, sizes.heads)?;
    let rotation = network.rotation(size, sizes.rope);
    for index in 0..sizes.layers {
        let path = format!("{}.{index}", names.layers);
        let attended = attend(network, &path, sizes, &names, &rotation, &x)?;
        let sum = network.add(&attended, &x);
        let norm = format!("{path}.{}", names.attention_norm);
        x = network.layer_norm(&norm, width, epsilon, &sum)?;
        let fed = feed_forward(network, &path, sizes, &names, &x)?;
        let sum = network.add(&fed, &x);
        let norm = format!("{path}.{}", names.feed_forward_norm);
        x = network.layer_norm(&norm, width, epsilon, &sum)?;
    }
    Ok(x)
}

/// The sum of words and segments, if there are any.
fn embed(network: &mut Network<'_>, sizes: &Sizes) -> Emitted {
    let width = sizes.width;
    let ids = network.input("input_ids");
    let rows = [sizes.vocabulary, width];
    let words = network.embedding("embeddings.word_embeddings", rows, &ids)?;
    if sizes.segments == 0 {
        return Ok(words);
    }
    let segments = network.segments([sizes.segments, width])?;
    Ok(network.add(&words, &segments))
}

fn attend(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    names: &Names,
    rotation: &[String; 2],
    x: &str,
) -> Emitted {
    let Sizes {
        width,
        heads,
        biased,
        ..
    } = *sizes;
    let size = network.head_size(width, heads)?;
    let mut parts = Vec::new();
    for index in 0..3 {
        let mut part = match names.products {
            Stored::Apart(names) => {
                let path = format!("{path}.{}", names[index]);
                network.linear_if(&path, [width; 2], biased, x)?
            }
            Stored::Together(name) => {
                let path = format!("{path}.{name}");
                network.linear_part(&path, [width; 2], [index, 3], x)?
            }
        };
        if let (Stored::Together(name), true) = (names.products, biased) {
            part = network.add_part(&format!("{path}.{name}"), width, [index, 3], &part)?;
        }
        parts.push(network.split(&part, heads));
    }
    let query = network.rotate(&parts[0], rotation, size);
    let key = network.rotate(&parts[1], rotation, size);
    let mask = network.mask();
    let attended = network.attend([&query, &key, &parts[2]], size, &mask);
    let output = format!("{path}.{}", names.output);
    network.linear_if(&output, [width; 2], biased, &attended)
}

/// `down(up(x) · activation(gate(x)))`.
fn feed_forward(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    names: &Names,
    x: &str,
) -> Emitted {
    let [width, inner] = [sizes.width, sizes.inner];
    let [up, gate] = match names.gate {
        Stored::Together(name) => {
            let both = network.product(
                &format!("{path}.{name}"),
                [width, inner.saturating_mul(2)],
                x,
            )?;
            network.emitter.halves(&both)
        }
        Stored::Apart([up, gate]) => [
            network.product(&format!("{path}.{up}"), [width, inner], x)?,
            network.product(&format!("{path}.{gate}"), [width, inner], x)?,
        ],
    };
    let gate = network.activated(sizes.activation_key, &sizes.activation, &gate)?;
    let gated = network.emitter.node("Mul", &[&up, &gate]);
    let down = format!("{path}.{}", names.down);
    network.linear_if(&down, [inner, width], sizes.biased, &gated)
}

/// Logits of the vocabulary.
fn predict_gte(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let sizes = dialects::gte(network)?;
    let width = sizes.width;
    // With another one, transformers and the older code give different results.
    network.settings.only("hidden_act", &json!("gelu"))?;
    let x = network.linear("lm_head.dense", [width; 2], hidden)?;
    let x = network.gelu(&x);
    let norm = match network.has("lm_head.norm.weight") {
        true => "lm_head.norm",
        false => "lm_head.layer_norm",
    };
    let x = network.layer_norm(norm, width, sizes.epsilon, &x)?;
    let decoder = Decoder {
        own: "lm_head.decoder",
        bias: Some("lm_head.decoder.bias"),
        ..DECODER
    };
    network.decode(&decoder, [width, sizes.vocabulary], &x)
}
