//! Jina's BERT of its second embeddings: biases that fall with the distance of two tokens
//! (`ALiBi`) in place of positions, and a gate in the feed-forward part.

use super::bert::{DECODER, Sizes, TRANSFORM, UNUSED, classify_pooled, classify_tokens, transform};
use super::layers::Attention;
use super::network::{Emitted, Network};
use super::{Architecture, Code};
use crate::error::BuildError;
use crate::graph::emit::int;
use encoderfile::onnx::tensor_proto::DataType;
use serde_json::json;

/// Its folders say that they are BERT, and name Jina's code.
pub(super) const JINA_BERT: Architecture = Architecture {
    model_type: "bert",
    code: Code::Is("JinaBert"),
    bases: &["bert"],
    encode,
    classify: classify_pooled,
    classify_tokens,
    predict: |network, hidden| {
        let sizes = sizes(network)?;
        let x = transform(network, TRANSFORM, &sizes, sizes.width, hidden)?;
        network.decode(&DECODER, [sizes.width, sizes.vocabulary], &x)
    },
    unused: UNUSED,
};

fn sizes(network: &Network<'_>) -> Result<Sizes, BuildError> {
    let settings = network.settings;
    settings.exactly("position_embedding_type", &json!("alibi"))?;
    // How attention is computed, how `encode` pools, and what the tokenizer says; and what the
    // head that predicts words reads.
    for key in [
        "attn_implementation",
        "emb_pooler",
        "hidden_act",
        "model_max_length",
    ] {
        settings.without_effect(key);
    }
    Sizes::of_any_positions(settings, 2, 1e-12)
}

fn encode(network: &mut Network<'_>) -> Emitted {
    let sizes = sizes(network)?;
    let Sizes { width, epsilon, .. } = sizes;
    let ids = network.input("input_ids");
    let rows = [sizes.vocabulary, width];
    let words = network.embedding("embeddings.word_embeddings", rows, &ids)?;
    let segments = network.segments([sizes.segments, width])?;
    let sum = network.add(&words, &segments);
    let mut x = network.layer_norm("embeddings.LayerNorm", width, epsilon, &sum)?;
    // There are not more heads than the tables are wide.
    network.head_size(width, sizes.heads)?;
    let bias = network.distances(&slopes(sizes.heads));
    for index in 0..sizes.layers {
        let path = format!("encoder.layer.{index}");
        let attention = Attention {
            products: ["query", "key", "value"].map(|it| format!("{path}.attention.self.{it}")),
            width,
            heads: sizes.heads,
            bias: Some(&bias),
        };
        let attended = network.attention(&attention, &x)?;
        let output = format!("{path}.attention.output.dense");
        let attended = network.linear(&output, [width; 2], &attended)?;
        let sum = network.add(&attended, &x);
        let norm = format!("{path}.attention.output.LayerNorm");
        x = network.layer_norm(&norm, width, epsilon, &sum)?;
        let fed = feed_forward(network, &format!("{path}.mlp"), &sizes, &x)?;
        let sum = network.add(&fed, &x);
        x = network.layer_norm(&format!("{path}.mlp.layernorm"), width, epsilon, &sum)?;
    }
    Ok(x)
}

fn feed_forward(network: &mut Network<'_>, path: &str, sizes: &Sizes, x: &str) -> Emitted {
    let [width, inner] = [sizes.width, sizes.inner];
    let settings = network.settings;
    settings.exactly("feed_forward_type", &json!("geglu"))?;
    let both = network.product(
        &format!("{path}.gated_layers"),
        [width, inner.saturating_mul(2)],
        x,
    )?;
    let [gate, up] = network.emitter.halves(&both);
    let gate = network.gelu(&gate);
    let gated = network.emitter.node("Mul", &[&gate, &up]);
    network.linear(&format!("{path}.wo"), [inner, width], &gated)
}

/// How fast each head's biases fall: geometric sequences, of as many as a power of two, and for
/// the heads beyond it every other one of twice as many.
fn slopes(heads: usize) -> Vec<f32> {
    let whole = match heads.is_power_of_two() {
        true => heads,
        false => heads.next_power_of_two() / 2,
    };
    #[allow(clippy::cast_precision_loss, reason = "heads are tens")]
    let slope = |index: usize, count: usize| (-8.0 * index as f32 / count as f32).exp2();
    let first = (1..=whole).map(|index| slope(index, whole));
    let others = (0..heads - whole).map(|index| slope(2 * index + 1, 2 * whole));
    first.chain(others).collect()
}

impl Network<'_> {
    /// `-slope · |distance|` for each head and pair of tokens: `[1, heads, tokens, tokens]`.
    fn distances(&mut self, slopes: &[f32]) -> String {
        let positions = self.positions();
        let emitter = &mut self.emitter;
        emitter.enter("distances");
        let column = emitter.integers(&[1]);
        let queries = emitter.node("Unsqueeze", &[&positions, &column]);
        let distance = emitter.node("Sub", &[&queries, &positions]);
        let distance = emitter.node("Abs", &[&distance]);
        let to_float = vec![int("to", i64::from(DataType::Float as i32))];
        let distance = emitter.node_with("Cast", &[&distance], to_float);
        let minus: Vec<f32> = slopes.iter().map(|slope| -slope).collect();
        let count = i64::try_from(minus.len()).unwrap_or(0);
        let name = emitter.fresh("slopes");
        emitter.floats_named(&minus, vec![1, count, 1, 1], &name);
        emitter.node("Mul", &[&distance, &name])
    }
}

#[cfg(test)]
mod tests {
    use super::slopes;

    #[test]
    fn slopes_are_those_of_the_paper() {
        // Of eight heads, and of twelve: those of eight, and every other one of sixteen.
        let eight: Vec<f32> = (1..=8).map(|index| 0.5_f32.powi(index)).collect();
        assert_eq!(slopes(8), eight);
        let others = [1, 3, 5, 7].map(|index| 0.5_f32.powf(index as f32 / 2.0));
        assert_eq!(slopes(12), [&eight[..], &others].concat());
    }
}
