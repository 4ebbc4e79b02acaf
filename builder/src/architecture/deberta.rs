//! `DeBERTa`, of both versions: disentangled attention, whose scores depend on contents and
//! relative positions each by itself.

mod convolution;

use super::bert::{Sizes, classify_tokens, feed_forward, predict_from, transform};
use super::network::{Emitted, Network};
use super::{Architecture, Code};
use crate::error::BuildError;
use crate::graph::blocks::{mix, split};
use crate::graph::emit::{int, ints};
use convolution::Convolution;
use encoderfile::limits::TOKENS_MAX;
use encoderfile::onnx::tensor_proto::DataType;
use serde_json::json;

pub(super) const DEBERTA: Architecture = Architecture {
    model_type: "deberta",
    code: Code::None,
    bases: &["deberta"],
    encode: |network| encode(network, Version::First),
    classify,
    classify_tokens,
    predict,
    unused: UNUSED,
};

pub(super) const DEBERTA_V2: Architecture = Architecture {
    model_type: "deberta-v2",
    code: Code::None,
    bases: &["deberta"],
    encode: |network| encode(network, Version::Second),
    classify,
    classify_tokens,
    predict,
    unused: UNUSED,
};

const UNUSED: &[&str] = &[
    "cls.predictions.decoder.",
    "embeddings.position_embeddings.",
    "embeddings.position_ids",
    "lm_predictions.",
    "mask_predictions.",
    "pooler.",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    First,
    Second,
}

/// What config.json says of positions.
struct Positions {
    /// Relative positions on each side that have vectors of their own.
    span: usize,
    /// The second version's ranges of far positions; 0 for none.
    buckets: usize,
    farthest: usize,
    content_to_position: bool,
    position_to_content: bool,
    /// Positions are projected by the contents' own matrices.
    shared: bool,
}

/// Vectors of all relative positions, `[2 · span, width]`, and which of them a pair of tokens
/// has: `[1, 1, tokens, tokens]`.
struct Relative {
    vectors: String,
    of_queries: String,
    /// The same with a row for each key.
    of_keys: String,
}

/// What all layers share.
struct Shared {
    version: Version,
    sizes: Sizes,
    positions: Option<Positions>,
    relative: Option<Relative>,
    /// Terms of a score that its scale counts, be they computed or not.
    terms: usize,
    mask: String,
}

fn encode(network: &mut Network<'_>, version: Version) -> Emitted {
    let sizes = sizes(network)?;
    let Sizes { width, epsilon, .. } = sizes;
    let x = embed(network, &sizes)?;
    let mut x = network.layer_norm("embeddings.LayerNorm", width, epsilon, &x)?;
    let mask = network.input("attention_mask");
    network.emitter.enter("attention_mask");
    let last = network.emitter.integers(&[-1]);
    let to_float = vec![int("to", i64::from(DataType::Float as i32))];
    let mask = network.emitter.node_with("Cast", &[&mask], to_float);
    let rows = network.emitter.node("Unsqueeze", &[&mask, &last]);
    x = network.emitter.node("Mul", &[&x, &rows]);
    let embedded = x.clone();
    let convolution = Convolution::read(network.settings, version)?;
    let positions = positions(network, version)?;
    let relative = match &positions {
        Some(positions) => Some(relative(network, version, positions, &sizes)?),
        None => None,
    };
    let kinds = network.settings.words("pos_att_type")?;
    let terms = match version {
        Version::First => kinds.len(),
        Version::Second => ["c2p", "p2c"]
            .iter()
            .filter(|it| kinds.iter().any(|kind| kind == *it))
            .count(),
    };
    let shared = Shared {
        version,
        terms: 1 + terms,
        positions,
        relative,
        mask: network.pair_mask(&mask),
        sizes,
    };
    for index in 0..shared.sizes.layers {
        let path = format!("encoder.layer.{index}");
        let attended = attend(network, &path, &shared, &x)?;
        let output = format!("{path}.attention.output.dense");
        let attended = network.linear(&output, [width; 2], &attended)?;
        let sum = network.add(&attended, &x);
        let norm = format!("{path}.attention.output.LayerNorm");
        x = network.layer_norm(&norm, width, epsilon, &sum)?;
        let fed = feed_forward(network, &path, &shared.sizes, &x)?;
        let sum = network.add(&fed, &x);
        x = network.layer_norm(&format!("{path}.output.LayerNorm"), width, epsilon, &sum)?;
        if let (0, Some(convolution)) = (index, &convolution) {
            let sum = convolution.write(network, &shared.sizes, [&embedded, &rows, &x])?;
            x = network.emitter.node("Mul", &[&sum, &rows]);
        }
    }
    Ok(x)
}

fn sizes(network: &Network<'_>) -> Result<Sizes, BuildError> {
    let settings = network.settings;
    for key in [
        "legacy",
        "pooler_dropout",
        "pooler_hidden_act",
        "pooler_hidden_size",
    ] {
        settings.without_effect(key);
    }
    let sizes = Sizes::read_or(settings, 0, 1e-7)?;
    let size = network.head_size(sizes.width, sizes.heads)?;
    settings.only("attention_head_size", &json!(size))?;
    Ok(sizes)
}

fn embed(network: &mut Network<'_>, sizes: &Sizes) -> Emitted {
    let settings = network.settings;
    let ids = network.input("input_ids");
    let width = settings.size_or("embedding_size", sizes.width)?;
    let rows = [sizes.vocabulary, width];
    let mut x = network.embedding("embeddings.word_embeddings", rows, &ids)?;
    if settings.flag("position_biased_input", true)? {
        let positions = network.positions();
        let rows = [sizes.positions, width];
        let positions = network.embedding("embeddings.position_embeddings", rows, &positions)?;
        x = network.add(&x, &positions);
    }
    if sizes.segments > 0 {
        let segments = network.segments([sizes.segments, width])?;
        x = network.add(&x, &segments);
    }
    if width != sizes.width {
        x = network.product("embeddings.embed_proj", [width, sizes.width], &x)?;
    }
    Ok(x)
}

fn positions(network: &Network<'_>, version: Version) -> Result<Option<Positions>, BuildError> {
    let settings = network.settings;
    let kinds = settings.words("pos_att_type")?;
    let farthest = settings.integer("max_relative_positions", -1)?;
    let buckets = settings.integer("position_buckets", -1)?;
    let shared = settings.flag("share_att_key", false)?;
    settings.only("talking_head", &json!(false))?;
    let most = settings.size_or("max_position_embeddings", 512)?;
    if !settings.flag("relative_attention", false)? {
        settings.without_effect("norm_rel_ebd");
        return Ok(None);
    }
    if kinds
        .iter()
        .any(|kind| !["c2p", "p2c"].contains(&kind.as_str()))
    {
        return Err(settings.refuse("pos_att_type"));
    }
    let farthest = usize::try_from(farthest).ok().filter(|it| *it > 0);
    let farthest = farthest.unwrap_or(most);
    let buckets = match version {
        Version::First => 0,
        Version::Second => usize::try_from(buckets).unwrap_or(0),
    };
    let has = |kind: &str| kinds.iter().any(|it| it == kind);
    Ok(Some(Positions {
        span: if buckets > 0 { buckets } else { farthest },
        buckets,
        farthest,
        content_to_position: has("c2p"),
        position_to_content: has("p2c"),
        shared: shared && version == Version::Second,
    }))
}

/// The vectors of relative positions, and which of them each pair of tokens has.
fn relative(
    network: &mut Network<'_>,
    version: Version,
    positions: &Positions,
    sizes: &Sizes,
) -> Result<Relative, BuildError> {
    let Sizes { width, epsilon, .. } = *sizes;
    let rows = [2 * positions.span, width];
    let mut vectors = network.tensor("encoder.rel_embeddings.weight", &rows)?;
    if version == Version::Second {
        match network.settings.text("norm_rel_ebd", "none")?.as_str() {
            "none" => {}
            "layer_norm" => {
                vectors = network.layer_norm("encoder.LayerNorm", width, epsilon, &vectors)?;
            }
            _ => return Err(network.settings.refuse("norm_rel_ebd")),
        }
    }
    let farthest = positions.farthest;
    let tokens = network.positions();
    let emitter = &mut network.emitter;
    emitter.enter("relative_positions");
    // No text has keys that are farther.
    let farthest_token = i64::try_from(farthest).unwrap_or(i64::MAX);
    let farthest_token = farthest_token.min(i64::from(TOKENS_MAX));
    let places: Vec<i64> = (-farthest_token..=farthest_token)
        .map(|distance| place(distance, positions))
        .collect();
    let places = emitter.integers(&places);
    let column = emitter.integers(&[1]);
    let queries = emitter.node("Unsqueeze", &[&tokens, &column]);
    let distance = emitter.node("Sub", &[&queries, &tokens]);
    let [least, greatest] = [-farthest_token, farthest_token].map(|it| emitter.integer(it));
    let distance = emitter.node("Clip", &[&distance, &least, &greatest]);
    let distance = emitter.node("Add", &[&distance, &greatest]);
    let places = emitter.node("Gather", &[&places, &distance]);
    let batch = emitter.integers(&[0, 1]);
    let of_queries = emitter.node("Unsqueeze", &[&places, &batch]);
    let swap = vec![ints("perm", &[0, 1, 3, 2])];
    Ok(Relative {
        of_keys: emitter.node_with("Transpose", &[&of_queries], swap),
        vectors,
        of_queries,
    })
}

/// Which vector a query has that is `distance` tokens after its key. Far ones share vectors,
/// of ranges that grow with the logarithm.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "positions are thousands at most; float32 as PyTorch has it"
)]
fn place(distance: i64, positions: &Positions) -> i64 {
    let span = positions.span as i64;
    let middle = (positions.buckets / 2) as i64;
    let mut bucket = distance;
    if positions.buckets > 0 && distance.abs() > middle {
        let ratio = (distance.abs() as f32 / middle as f32).ln();
        let whole = ((positions.farthest - 1) as f64 / middle as f64).ln() as f32;
        let range = (ratio / whole * (middle - 1) as f32).ceil() as i64 + middle;
        bucket = range * distance.signum();
    }
    (bucket + span).clamp(0, 2 * span - 1)
}

fn attend(network: &mut Network<'_>, path: &str, shared: &Shared, x: &str) -> Emitted {
    let Sizes { width, heads, .. } = shared.sizes;
    let size = network.head_size(width, heads)?;
    let [query, key, value] = match shared.version {
        Version::First => first_products(network, path, &shared.sizes, x)?,
        Version::Second => {
            let path = format!("{path}.attention.self");
            let query = network.linear(&format!("{path}.query_proj"), [width; 2], x)?;
            let key = network.linear(&format!("{path}.key_proj"), [width; 2], x)?;
            let value = network.linear(&format!("{path}.value_proj"), [width; 2], x)?;
            [query, key, value].map(|it| network.split(&it, heads))
        }
    };
    let scale = network.scale(size * shared.terms);
    let emitter = &mut network.emitter;
    let scaled = emitter.node("Mul", &[&query, &scale]);
    let turned = emitter.node_with("Transpose", &[&key], vec![ints("perm", &[0, 1, 3, 2])]);
    let mut scores = emitter.node("MatMul", &[&scaled, &turned]);
    if let (Some(positions), Some(relative)) = (&shared.positions, &shared.relative) {
        let layer = Layer {
            path: &format!("{path}.attention.self"),
            shared,
            relative,
            scale: &scale,
        };
        let mut biases = Vec::new();
        if positions.content_to_position {
            biases.push(layer.content_to_position(network, &query)?);
        }
        if positions.position_to_content {
            biases.push(layer.position_to_content(network, &key)?);
        }
        let sum = biases.into_iter().reduce(|a, b| network.add(&a, &b));
        if let Some(bias) = sum {
            scores = network.add(&scores, &bias);
        }
    }
    let scores = network.add(&scores, &shared.mask);
    let output = network.emitter.fresh("attention");
    mix(&mut network.emitter, &scores, &value, &output);
    Ok(output)
}

/// The first version's query, key and value: of one matrix, in which they follow one another
/// head by head, with biases for two of them.
fn first_products(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    x: &str,
) -> Result<[String; 3], BuildError> {
    let Sizes { width, heads, .. } = *sizes;
    let path = format!("{path}.attention.self");
    let size = network.head_size(width, heads)?;
    let all = network.product(&format!("{path}.in_proj"), [width, 3 * width], x)?;
    let emitter = &mut network.emitter;
    let [count, size] = [heads, size].map(|it| i64::try_from(it).unwrap_or(i64::MAX));
    // [batch, tokens, heads, 3 · size], then [batch, heads, tokens, 3 · size].
    let all = split(emitter, &all, count, &[0, 2, 1, 3]);
    let parts = [0, 1, 2].map(|index| emitter.slice(&all, 3, index * size, (index + 1) * size));
    let shape = emitter.integers(&[1, count, 1, size]);
    let [mut query, key, mut value] = parts;
    for (part, name) in [(&mut query, "q_bias"), (&mut value, "v_bias")] {
        let bias = network.tensor(&format!("{path}.{name}"), &[width])?;
        let bias = network.emitter.node("Reshape", &[&bias, &shape]);
        *part = network.add(part, &bias);
    }
    Ok([query, key, value])
}

/// A layer's biases by relative position.
struct Layer<'a> {
    path: &'a str,
    shared: &'a Shared,
    relative: &'a Relative,
    scale: &'a str,
}

impl Layer<'_> {
    /// Contents of the query, and the key's position.
    fn content_to_position(&self, network: &mut Network<'_>, query: &str) -> Emitted {
        let keys = self.project(network, ["key_proj", "pos_key_proj", "pos_proj"], false)?;
        let products = network.emitter.node("MatMul", &[query, &keys]);
        let bias = self.gather(network, &products, &self.relative.of_queries);
        Ok(network.emitter.node("Mul", &[&bias, self.scale]))
    }

    /// The query's position, and contents of the key.
    fn position_to_content(&self, network: &mut Network<'_>, key: &str) -> Emitted {
        let names = ["query_proj", "pos_query_proj", "pos_q_proj"];
        let queries = self.project(network, names, true)?;
        let products = network.emitter.node("MatMul", &[key, &queries]);
        let bias = self.gather(network, &products, &self.relative.of_keys);
        let swap = vec![ints("perm", &[0, 1, 3, 2])];
        let bias = network.emitter.node_with("Transpose", &[&bias], swap);
        Ok(network.emitter.node("Mul", &[&bias, self.scale]))
    }

    /// The vectors of positions as keys or queries: `[1, heads, size, 2 · span]`. The matrix
    /// is the contents' own, or the second or the first version's.
    fn project(&self, network: &mut Network<'_>, names: [&str; 3], is_query: bool) -> Emitted {
        let [own, second, first] = names.map(|name| format!("{}.{name}", self.path));
        let Sizes { width, heads, .. } = self.shared.sizes;
        let is_shared = self.shared.positions.as_ref().is_some_and(|it| it.shared);
        let vectors = &self.relative.vectors;
        let projected = match self.shared.version {
            Version::Second if is_shared => network.linear(&own, [width; 2], vectors)?,
            Version::Second => network.linear(&second, [width; 2], vectors)?,
            Version::First => network.linear_if(&first, [width; 2], is_query, vectors)?,
        };
        let emitter = &mut network.emitter;
        let [count, size] = [heads, width / heads].map(|it| i64::try_from(it).unwrap_or(0));
        let shape = emitter.integers(&[1, -1, count, size]);
        let split = emitter.node("Reshape", &[&projected, &shape]);
        Ok(emitter.node_with("Transpose", &[&split], vec![ints("perm", &[0, 2, 3, 1])]))
    }

    /// Of `[1, heads, tokens, 2 · span]` the value of each pair of tokens.
    fn gather(&self, network: &mut Network<'_>, products: &str, places: &str) -> String {
        let emitter = &mut network.emitter;
        let shape = emitter.node("Shape", &[places]);
        let [start, end] = [2, 4].map(|it| emitter.integers(&[it]));
        let tokens = emitter.node("Slice", &[&shape, &start, &end]);
        let count = i64::try_from(self.shared.sizes.heads).unwrap_or(0);
        let front = emitter.integers(&[1, count]);
        let shape = emitter.node_with("Concat", &[&front, &tokens], vec![int("axis", 0)]);
        let places = emitter.node("Expand", &[places, &shape]);
        emitter.node_with("GatherElements", &[products, &places], vec![int("axis", 3)])
    }
}

impl Network<'_> {
    /// 0 for pairs of tokens that are both attended to, and the least float32 for others.
    fn pair_mask(&mut self, mask: &str) -> String {
        let emitter = &mut self.emitter;
        emitter.enter("attention_mask");
        let axes = emitter.integers(&[1, 2]);
        let keys = emitter.node("Unsqueeze", &[mask, &axes]);
        let axes = emitter.integers(&[1, 3]);
        let queries = emitter.node("Unsqueeze", &[mask, &axes]);
        let pairs = emitter.node("Mul", &[&keys, &queries]);
        let [one, least] = [1.0, f32::MIN].map(|it| emitter.float(it));
        let hidden = emitter.node("Sub", &[&one, &pairs]);
        emitter.node("Mul", &[&hidden, &least])
    }
}

/// Logits of what the pooler makes of the first token.
fn classify(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let width = network.settings.size("hidden_size")?;
    network.settings.only("pooler_hidden_size", &json!(width))?;
    let first = network.first_token(hidden);
    let pooled = network.linear("pooler.dense", [width; 2], &first)?;
    let pooled = network.activation("pooler_hidden_act", "gelu", &pooled)?;
    network.linear("classifier", [width, network.labels], &pooled)
}

/// Logits of the vocabulary, by BERT's head; or, if `legacy` is false, by the one whose tensors
/// have the names that the authors gave them, and whose matrix is always the table of the words.
fn predict(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let sizes = sizes(network)?;
    if network.settings.flag("legacy", true)? {
        let width = network.settings.size_or("embedding_size", sizes.width)?;
        return predict_from(network, &sizes, width, hidden);
    }
    let path = "lm_predictions.lm_head";
    let x = transform(network, path, &sizes, sizes.width, hidden)?;
    let words = network.in_base("embeddings.word_embeddings.weight");
    let words = network.matrix(&words, [sizes.width, sizes.vocabulary])?;
    network.emitter.enter(path);
    let product = network.emitter.node("MatMul", &[&x, &words]);
    let bias = network.tensor(&format!("{path}.bias"), &[sizes.vocabulary])?;
    Ok(network.add(&product, &bias))
}

#[cfg(test)]
mod tests {
    use super::{Positions, place};

    #[test]
    fn places_are_those_of_deberta_v2() {
        let positions = Positions {
            span: 256,
            buckets: 256,
            farthest: 512,
            content_to_position: true,
            position_to_content: true,
            shared: true,
        };
        // Of transformers' `make_log_bucket_position`, plus the span.
        for (distance, expected) in EXPECTED {
            assert_eq!(place(distance, &positions), expected, "{distance}");
            assert_eq!(place(-distance, &positions), 512 - expected, "{distance}");
        }
    }

    const EXPECTED: [(i64, i64); 12] = [
        (0, 256),
        (1, 257),
        (127, 383),
        (128, 384),
        (129, 385),
        (130, 386),
        (200, 425),
        (300, 463),
        (400, 489),
        (500, 510),
        (510, 511),
        (511, 511),
    ];
}
