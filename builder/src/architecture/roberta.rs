//! RoBERTa: BERT with positions after the padding id, mostly one segment, and heads of its own.

use super::bert::{DECODER, Sizes, classify_tokens, layers};
use super::decoder::Decoder;
use super::network::{Emitted, Network};
use super::{Architecture, Code};

const UNUSED: &[&str] = &[
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "lm_head.decoder.",
    "pooler.",
];

pub(super) const ROBERTA: Architecture = of("roberta", &["roberta"]);
pub(super) const CAMEMBERT: Architecture = of("camembert", &["roberta"]);
pub(super) const XLM_ROBERTA: Architecture = of("xlm-roberta", &["roberta"]);
pub(super) const DATA2VEC_TEXT: Architecture = of("data2vec-text", &["data2vec_text"]);

const fn of(model_type: &'static str, bases: &'static [&'static str]) -> Architecture {
    Architecture {
        model_type,
        code: Code::None,
        bases,
        encode: |network| {
            let sizes = Sizes::read(network.settings)?;
            sizes.refuse_narrower_words(network.settings)?;
            let x = embed(network, &sizes)?;
            let x = network.layer_norm("embeddings.LayerNorm", sizes.width, sizes.epsilon, &x)?;
            layers(network, &sizes, x)
        },
        classify: classify_first,
        classify_tokens,
        predict,
        unused: UNUSED,
    }
}

fn embed(network: &mut Network<'_>, sizes: &Sizes) -> Emitted {
    let ids = network.input("input_ids");
    let width = sizes.width;
    let words = network.embedding(
        "embeddings.word_embeddings",
        [sizes.vocabulary, width],
        &ids,
    )?;
    // Its own tokenizer numbers no segments; others may.
    let segment = network.segments([sizes.segments, width])?;
    let padding = network.settings.integer("pad_token_id", 1)?;
    let positions = network.positions_after(padding);
    let rows = [sizes.positions, width];
    let positions = network.embedding("embeddings.position_embeddings", rows, &positions)?;
    let sum = network.add(&words, &segment);
    Ok(network.add(&sum, &positions))
}

/// Logits of the first token.
pub(super) fn classify_first(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let width = network.settings.size("hidden_size")?;
    let first = network.first_token(hidden);
    let x = network.linear("classifier.dense", [width; 2], &first)?;
    let x = network.tanh(&x);
    network.linear("classifier.out_proj", [width, network.labels], &x)
}

pub(super) fn predict(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let width = network.settings.size("hidden_size")?;
    let vocabulary = network.settings.size("vocab_size")?;
    let epsilon = network.settings.float("layer_norm_eps", 1e-12)?;
    let x = network.linear("lm_head.dense", [width; 2], hidden)?;
    let x = network.gelu(&x);
    let x = network.layer_norm("lm_head.layer_norm", width, epsilon, &x)?;
    let decoder = Decoder {
        own: "lm_head.decoder",
        bias: Some("lm_head.bias"),
        ..DECODER
    };
    network.decode(&decoder, [width, vocabulary], &x)
}
