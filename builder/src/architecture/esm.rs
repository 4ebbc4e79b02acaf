//! ESM, for proteins: rotary positions and norms before each part.

use super::bert::classify_tokens;
use super::network::{Emitted, Network};
use super::roberta::{classify_first, predict};
use super::rotary::Rope;
use super::{Architecture, Code};
use crate::graph::emit::int;
use encoderfile::onnx::tensor_proto::DataType;
use serde_json::json;

pub(super) const ESM: Architecture = Architecture {
    model_type: "esm",
    code: Code::None,
    bases: &["esm"],
    encode,
    classify: classify_first,
    classify_tokens,
    predict,
    unused: &[
        "contact_head.",
        "embeddings.position_embeddings.",
        "embeddings.position_ids",
        "lm_head.decoder.",
        "pooler.",
    ],
};

/// The share of tokens that were masked in training, and were so with `[MASK]`.
const MASKED: f32 = 0.15 * 0.8;

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    settings.only("is_folding_model", &json!(false))?;
    // GELU, whatever `hidden_act` of published folders says: the class reads none.
    for key in ["esmfold_config", "hidden_act", "vocab_list"] {
        settings.without_effect(key);
    }
    let width = settings.size("hidden_size")?;
    let heads = settings.size("num_attention_heads")?;
    let inner = settings.size("intermediate_size")?;
    let epsilon = settings.float("layer_norm_eps", 1e-12)?;
    let kind = "position_embedding_type";
    let [is_absolute, is_rotary] = match settings.text(kind, "absolute")?.as_str() {
        // The class has positions for these two names alone.
        _ if settings.is_null(kind) => [false, false],
        "absolute" => [true, false],
        "rotary" => [false, true],
        _ => return Err(settings.refuse(kind)),
    };
    let mut x = embed(network, width, is_absolute)?;
    if settings.flag("emb_layer_norm_before", false)? {
        x = network.layer_norm("embeddings.layer_norm", width, epsilon, &x)?;
    }
    x = network.attended(&x);
    let size = network.head_size(width, heads)?;
    // Written by transformers 5; before it, this was its number.
    let rope = Rope::of(settings.float("rope_theta", 10_000.0)?);
    let rotation = is_rotary.then(|| network.rotation(size, rope));
    for index in 0..settings.layers("num_hidden_layers")? {
        let path = format!("encoder.layer.{index}");
        let norm = format!("{path}.attention.LayerNorm");
        let normed = network.layer_norm(&norm, width, epsilon, &x)?;
        let paths = ["query", "key", "value"].map(|it| format!("{path}.attention.self.{it}"));
        if is_rotary {
            // Of each layer, or, as transformers 5 writes it, of all.
            for layer in [&path, "encoder.layer.*"] {
                let rotary = format!("{layer}.attention.self.rotary_embeddings");
                network.passed_over(&format!("{rotary}.inv_freq"));
            }
        }
        let products = network.products(&paths, [width; 2], &normed)?;
        let [mut query, mut key, value] = products.map(|it| network.split(&it, heads));
        if let Some(rotation) = &rotation {
            query = network.rotate(&query, rotation, size);
            key = network.rotate(&key, rotation, size);
        }
        let mask = network.mask();
        let attended = network.attend([&query, &key, &value], size, &mask);
        let output = format!("{path}.attention.output.dense");
        let attended = network.linear(&output, [width; 2], &attended)?;
        x = network.add(&attended, &x);
        let normed = network.layer_norm(&format!("{path}.LayerNorm"), width, epsilon, &x)?;
        let fed = format!("{path}.intermediate.dense");
        let fed = network.linear(&fed, [width, inner], &normed)?;
        let fed = network.gelu(&fed);
        let fed = network.linear(&format!("{path}.output.dense"), [inner, width], &fed)?;
        x = network.add(&fed, &x);
    }
    network.layer_norm("encoder.emb_layer_norm_after", width, epsilon, &x)
}

fn embed(network: &mut Network<'_>, width: usize, is_absolute: bool) -> Emitted {
    let settings = network.settings;
    let ids = network.input("input_ids");
    let rows = [settings.size("vocab_size")?, width];
    let mut x = network.embedding("embeddings.word_embeddings", rows, &ids)?;
    if settings.flag("token_dropout", false)? {
        let mask = settings.integer("mask_token_id", 32)?;
        x = network.token_dropout(&x, mask);
    }
    if is_absolute {
        let padding = settings.integer("pad_token_id", 1)?;
        let positions = network.positions_after(padding);
        let rows = [settings.size_or("max_position_embeddings", 1026)?, width];
        let positions = network.embedding("embeddings.position_embeddings", rows, &positions)?;
        x = network.add(&x, &positions);
    }
    Ok(x)
}

impl Network<'_> {
    /// Zeros for tokens that the attention mask hides.
    fn attended(&mut self, x: &str) -> String {
        let mask = self.input("attention_mask");
        let emitter = &mut self.emitter;
        emitter.enter("attention_mask");
        let last = emitter.integers(&[-1]);
        let mask = emitter.node("Unsqueeze", &[&mask, &last]);
        let to_float = vec![int("to", i64::from(DataType::Float as i32))];
        let mask = emitter.node_with("Cast", &[&mask], to_float);
        emitter.node("Mul", &[x, &mask])
    }

    /// Zeros for mask tokens, and all others larger by as much as they would be fewer in
    /// training.
    fn token_dropout(&mut self, x: &str, mask: i64) -> String {
        let ids = self.input("input_ids");
        let attention = self.input("attention_mask");
        let emitter = &mut self.emitter;
        emitter.enter("token_dropout");
        let to_float = || vec![int("to", i64::from(DataType::Float as i32))];
        let mask = emitter.integer(mask);
        let is_masked = emitter.node("Equal", &[&ids, &mask]);
        let masked = emitter.node_with("Cast", &[&is_masked], to_float());
        let tokens = emitter.node_with("Cast", &[&attention], to_float());
        let last = emitter.integers(&[-1]);
        let [masked_count, count] =
            [&masked, &tokens].map(|it| emitter.node("ReduceSum", &[it, &last]));
        let share = emitter.node("Div", &[&masked_count, &count]);
        let [one, usual] = [1.0, 1.0 - MASKED].map(|it| emitter.float(it));
        let kept = emitter.node("Sub", &[&one, &share]);
        let factor = emitter.node("Div", &[&usual, &kept]);
        let is_kept = emitter.node("Sub", &[&one, &masked]);
        let factor = emitter.node("Mul", &[&is_kept, &factor]);
        let factor = emitter.node("Unsqueeze", &[&factor, &last]);
        emitter.node("Mul", &[x, &factor])
    }
}
