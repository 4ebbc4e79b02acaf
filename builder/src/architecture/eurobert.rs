//! `EuroBERT`: Llama's layers, in which every token sees all others.

use super::decoder::Decoder;
use super::gated::{Kind, Sizes, attend, feed_forward};
use super::network::{Emitted, Network};
use super::rotary::Rope;
use super::{Architecture, Code};
use crate::error::BuildError;
use serde_json::json;

pub(super) const EUROBERT: Architecture = Architecture {
    model_type: "eurobert",
    code: Code::MayBe("EuroBert"),
    bases: &["model"],
    encode,
    classify,
    classify_tokens: super::bert::classify_tokens,
    predict: |network, hidden| {
        let sizes = sizes(network)?;
        let biased = network.settings.flag("mlp_bias", false)?;
        let decoder = Decoder {
            own: "lm_head",
            words: "embed_tokens.weight",
            bias: biased.then_some("lm_head.bias"),
            tied: false,
        };
        network.decode(&decoder, [sizes.width, sizes.vocabulary], hidden)
    },
    unused: &["lm_head."],
};

/// Keys of training and of the tokenizer, and those that the head reads.
const WITHOUT_EFFECT: [&str; 7] = [
    "bos_token",
    "classifier_pooling",
    "clf_pooling",
    "eos_token",
    "hidden_dropout",
    "mask_token",
    "pad_token",
];

fn sizes(network: &Network<'_>) -> Result<Sizes, BuildError> {
    let settings = network.settings;
    for key in WITHOUT_EFFECT {
        settings.without_effect(key);
    }
    // How a product is cut for several devices: sums in another order.
    settings.only("pretraining_tp", &json!(1))?;
    Sizes::read(settings, 1e-5)
}

fn encode(network: &mut Network<'_>) -> Emitted {
    let sizes = sizes(network)?;
    let Sizes { width, epsilon, .. } = sizes;
    let biased = network.settings.flag("mlp_bias", false)?;
    let ids = network.input("input_ids");
    let rows = [sizes.vocabulary, width];
    let mut x = network.embedding("embed_tokens", rows, &ids)?;
    let rope = Rope::read(network.settings, 10_000.0)?;
    let kind = Kind {
        rotation: &network.rotation(sizes.head, rope),
        mask: &network.mask(),
        scale: &network.scale(sizes.head),
    };
    for index in 0..sizes.layers {
        let path = format!("layers.{index}");
        let norm = format!("{path}.input_layernorm");
        let normed = network.root_mean_square(&norm, width, epsilon, &x)?;
        let no_norms = |_: &mut Network<'_>, _: &str, x: &str| Ok(x.to_owned());
        let attended = attend(network, &path, &sizes, &kind, no_norms, &normed)?;
        x = network.add(&x, &attended);
        let norm = format!("{path}.post_attention_layernorm");
        let normed = network.root_mean_square(&norm, width, epsilon, &x)?;
        let activation = ["hidden_act", "silu"];
        let fed = feed_forward(network, &path, &sizes, activation, biased, &normed)?;
        x = network.add(&x, &fed);
    }
    network.root_mean_square("norm", width, epsilon, &x)
}

/// Logits of the first token or of the mean of all, or the mean of the logits of all.
fn classify(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let settings = network.settings;
    let width = settings.size("hidden_size")?;
    // Of the code that folders name; transformers reads the other key alone.
    let older = match settings.has("auto_map") {
        true => settings.text("clf_pooling", "late")?,
        false => "late".to_owned(),
    };
    let pooling = settings.text("classifier_pooling", &older)?;
    let (pooled, is_late) = match pooling.as_str() {
        "bos" => (network.first_token(hidden), false),
        "mean" => (network.mean_over_tokens(hidden), false),
        "late" => (hidden.to_owned(), true),
        _ => return Err(settings.refuse("classifier_pooling")),
    };
    let x = network.linear("dense", [width; 2], &pooled)?;
    let x = network.gelu(&x);
    let logits = network.linear("classifier", [width, network.labels], &x)?;
    match is_late {
        true => Ok(network.mean_over_tokens(&logits)),
        false => Ok(logits),
    }
}
