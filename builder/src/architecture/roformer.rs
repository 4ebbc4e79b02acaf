//! `RoFormer`: BERT with rotary positions, whose pairs lie beside one another.

use super::bert::{Sizes, classify_activated, classify_tokens, feed_forward, predict_from};
use super::network::{Emitted, Network};
use super::{Architecture, Code};
use crate::graph::emit::int;

pub(super) const ROFORMER: Architecture = Architecture {
    model_type: "roformer",
    code: Code::None,
    bases: &["roformer"],
    encode,
    classify: classify_activated,
    classify_tokens,
    predict: |network, hidden| {
        let sizes = Sizes::read(network.settings)?;
        let width = network.settings.size_or("embedding_size", sizes.width)?;
        predict_from(network, &sizes, width, hidden)
    },
    unused: &["cls.predictions.decoder."],
};

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    let sizes = Sizes::read(settings)?;
    let Sizes {
        width,
        heads,
        epsilon,
        ..
    } = sizes;
    let narrow = settings.size_or("embedding_size", width)?;
    let turns_values = settings.flag("rotary_value", false)?;
    let ids = network.input("input_ids");
    let rows = [sizes.vocabulary, narrow];
    let words = network.embedding("embeddings.word_embeddings", rows, &ids)?;
    let segments = network.segments([sizes.segments, narrow])?;
    let sum = network.add(&words, &segments);
    let mut x = network.layer_norm("embeddings.LayerNorm", narrow, epsilon, &sum)?;
    if narrow != width {
        x = network.linear("embeddings_project", [narrow, width], &x)?;
    }
    let size = network.head_size(width, heads)?;
    let table = network.tensor("encoder.embed_positions.weight", &[sizes.positions, size])?;
    let rotation = network.interleaved_rotation(&table, size);
    for index in 0..sizes.layers {
        let path = format!("encoder.layer.{index}");
        let paths = ["query", "key", "value"].map(|it| format!("{path}.attention.self.{it}"));
        let products = network.products(&paths, [width; 2], &x)?;
        let [query, key, mut value] = products.map(|it| network.split(&it, heads));
        let query = network.rotate_pairs(&query, &rotation, size);
        let key = network.rotate_pairs(&key, &rotation, size);
        if turns_values {
            value = network.rotate_pairs(&value, &rotation, size);
        }
        let mask = network.mask();
        let attended = network.attend([&query, &key, &value], size, &mask);
        let output = format!("{path}.attention.output.dense");
        let attended = network.linear(&output, [width; 2], &attended)?;
        let sum = network.add(&attended, &x);
        let norm = format!("{path}.attention.output.LayerNorm");
        x = network.layer_norm(&norm, width, epsilon, &sum)?;
        let fed = feed_forward(network, &path, &sizes, &x)?;
        let sum = network.add(&fed, &x);
        x = network.layer_norm(&format!("{path}.output.LayerNorm"), width, epsilon, &sum)?;
    }
    Ok(x)
}

impl Network<'_> {
    /// Cosines and sines of all positions, each twice: `[tokens, size]`, of a table of the
    /// sines and then the cosines of each position.
    fn interleaved_rotation(&mut self, table: &str, size: usize) -> [String; 2] {
        let positions = self.positions();
        let emitter = &mut self.emitter;
        emitter.enter("rotary");
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let rows = emitter.node("Gather", &[table, &positions]);
        let last = emitter.integers(&[-1]);
        let shape = emitter.integers(&[-1, size]);
        [size / 2, 0].map(|start| {
            let half = emitter.slice(&rows, 1, start, start + size / 2);
            let half = emitter.node("Unsqueeze", &[&half, &last]);
            let twice = emitter.node_with("Concat", &[&half, &half], vec![int("axis", -1)]);
            emitter.node("Reshape", &[&twice, &shape])
        })
    }

    /// `x · cos + (-second, first) · sin` of each pair, of `[batch, heads, tokens, size]`.
    fn rotate_pairs(&mut self, x: &str, [cos, sin]: &[String; 2], size: usize) -> String {
        let emitter = &mut self.emitter;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let shape = emitter.integers(&[0, 0, 0, size / 2, 2]);
        let pairs = emitter.node("Reshape", &[x, &shape]);
        let first = emitter.slice(&pairs, 4, 0, 1);
        let second = emitter.slice(&pairs, 4, 1, 2);
        let minus = emitter.node("Neg", &[&second]);
        let turned = emitter.node_with("Concat", &[&minus, &first], vec![int("axis", 4)]);
        let shape = emitter.integers(&[0, 0, 0, size]);
        let turned = emitter.node("Reshape", &[&turned, &shape]);
        let straight = emitter.node("Mul", &[x, cos]);
        let turned = emitter.node("Mul", &[&turned, sin]);
        emitter.node("Add", &[&straight, &turned])
    }
}
