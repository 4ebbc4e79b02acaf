//! `DistilBERT`: BERT without segments and pooler, under other names.

use super::bert::DECODER;
use super::decoder::Decoder;
use super::layers::Attention;
use super::network::{Emitted, Network};
use super::{Architecture, Code};

const EPSILON: f32 = 1e-12;

pub(super) const DISTILBERT: Architecture = Architecture {
    model_type: "distilbert",
    code: Code::None,
    bases: &["distilbert"],
    encode,
    classify: |network, hidden| {
        let width = network.settings.size("dim")?;
        let first = network.first_token(hidden);
        let x = network.linear("pre_classifier", [width; 2], &first)?;
        let x = network.relu(&x);
        network.linear("classifier", [width, network.labels], &x)
    },
    classify_tokens: |network, hidden| {
        let width = network.settings.size("dim")?;
        network.linear("classifier", [width, network.labels], hidden)
    },
    predict: |network, hidden| {
        let width = network.settings.size("dim")?;
        let vocabulary = network.settings.size("vocab_size")?;
        let x = network.linear("vocab_transform", [width; 2], hidden)?;
        let x = network.activation("activation", "gelu", &x)?;
        let x = network.layer_norm("vocab_layer_norm", width, EPSILON, &x)?;
        let decoder = Decoder {
            own: "vocab_projector",
            bias: Some("vocab_projector.bias"),
            ..DECODER
        };
        network.decode(&decoder, [width, vocabulary], &x)
    },
    unused: &["embeddings.position_ids"],
};

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    let width = settings.size("dim")?;
    // Of BERT, and not read by this architecture.
    settings.without_effect("intermediate_size");
    let heads = settings.size("n_heads")?;
    let inner = settings.size("hidden_dim")?;
    let ids = network.input("input_ids");
    let rows = [settings.size("vocab_size")?, width];
    let words = network.embedding("embeddings.word_embeddings", rows, &ids)?;
    let positions = network.positions();
    let rows = [settings.size_or("max_position_embeddings", 512)?, width];
    let positions = network.embedding("embeddings.position_embeddings", rows, &positions)?;
    let sum = network.add(&words, &positions);
    let mut x = network.layer_norm("embeddings.LayerNorm", width, EPSILON, &sum)?;
    for index in 0..settings.layers("n_layers")? {
        let path = format!("transformer.layer.{index}");
        let attention = Attention {
            products: ["q_lin", "k_lin", "v_lin"].map(|it| format!("{path}.attention.{it}")),
            width,
            heads,
            bias: None,
        };
        let attended = network.attention(&attention, &x)?;
        let output = format!("{path}.attention.out_lin");
        let attended = network.linear(&output, [width; 2], &attended)?;
        let sum = network.add(&attended, &x);
        x = network.layer_norm(&format!("{path}.sa_layer_norm"), width, EPSILON, &sum)?;
        let fed = network.linear(&format!("{path}.ffn.lin1"), [width, inner], &x)?;
        let fed = network.activation("activation", "gelu", &fed)?;
        let fed = network.linear(&format!("{path}.ffn.lin2"), [inner, width], &fed)?;
        let sum = network.add(&fed, &x);
        x = network.layer_norm(&format!("{path}.output_layer_norm"), width, EPSILON, &sum)?;
    }
    Ok(x)
}
