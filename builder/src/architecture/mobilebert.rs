//! `MobileBERT`: thin layers between bottlenecks, with several feed-forward parts each.

use super::bert::{DECODER, classify_tokens};
use super::network::{Emitted, Network};
use super::{Architecture, Code};
use crate::error::BuildError;
use crate::graph::emit::int;

pub(super) const MOBILEBERT: Architecture = Architecture {
    model_type: "mobilebert",
    code: Code::None,
    bases: &["mobilebert"],
    encode,
    classify: |network, hidden| {
        let width = network.settings.size("hidden_size")?;
        let mut pooled = network.first_token(hidden);
        if network.settings.flag("classifier_activation", true)? {
            let pooler = network.in_base("pooler.dense");
            pooled = network.linear(&pooler, [width; 2], &pooled)?;
            pooled = network.tanh(&pooled);
        }
        network.linear("classifier", [width, network.labels], &pooled)
    },
    classify_tokens,
    predict,
    unused: &[
        "cls.seq_relationship.",
        "embeddings.position_ids",
        "pooler.",
    ],
};

/// What config.json says.
struct Sizes {
    width: usize,
    /// Between the bottlenecks.
    narrow: usize,
    heads: usize,
    inner: usize,
    /// Feed-forward parts of a layer.
    parts: usize,
    epsilon: f32,
    norms: Norms,
    inputs: Inputs,
}

/// Of the norms that transformers makes without `layer_norm_eps`: those of the embeddings, and of
/// a layer's output before its bottleneck.
const EPSILON: f32 = 1e-5;

#[derive(Clone, Copy)]
enum Norms {
    /// Of mean and variance.
    Layer,
    /// A scale and a bias alone.
    None,
}

/// What attention is computed of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inputs {
    /// The layer's own input: there are no bottlenecks.
    Whole,
    /// Query, key and value of the bottleneck's output.
    Narrow,
    /// Query and key of a bottleneck of their own, and the value of the layer's input.
    NarrowQueryAndKey,
    /// The layer's input, and what is added to it of the bottleneck.
    WideAll,
}

impl Sizes {
    fn read(network: &Network<'_>) -> Result<Self, BuildError> {
        let settings = network.settings;
        settings.without_effect("true_hidden_size");
        settings.without_effect("classifier_activation");
        let width = settings.size("hidden_size")?;
        let has_bottleneck = settings.flag("use_bottleneck", true)?;
        let of_all = settings.flag("use_bottleneck_attention", false)?;
        let of_two = settings.flag("key_query_shared_bottleneck", true)?;
        let narrow = settings.size_or("intra_bottleneck_size", 128)?;
        Ok(Self {
            width,
            narrow: if has_bottleneck { narrow } else { width },
            heads: settings.size("num_attention_heads")?,
            inner: settings.size("intermediate_size")?,
            parts: settings.size_or("num_feedforward_networks", 4)?,
            epsilon: settings.float("layer_norm_eps", 1e-12)?,
            norms: match settings.text("normalization_type", "no_norm")?.as_str() {
                "layer_norm" => Norms::Layer,
                "no_norm" => Norms::None,
                _ => return Err(settings.refuse("normalization_type")),
            },
            inputs: match (has_bottleneck, of_all, of_two) {
                (false, ..) => Inputs::Whole,
                (true, true, _) => Inputs::Narrow,
                (true, false, true) => Inputs::NarrowQueryAndKey,
                (true, false, false) => Inputs::WideAll,
            },
        })
    }
}

fn encode(network: &mut Network<'_>) -> Emitted {
    let sizes = Sizes::read(network)?;
    let mut x = embed(network, &sizes)?;
    for index in 0..network.settings.layers("num_hidden_layers")? {
        x = layer(network, &format!("encoder.layer.{index}"), &sizes, &x)?;
    }
    Ok(x)
}

fn embed(network: &mut Network<'_>, sizes: &Sizes) -> Emitted {
    let settings = network.settings;
    let width = sizes.width;
    let narrow = settings.size_or("embedding_size", 128)?;
    let ids = network.input("input_ids");
    let rows = [settings.size("vocab_size")?, narrow];
    let mut x = network.embedding("embeddings.word_embeddings", rows, &ids)?;
    let is_trigram = settings.flag("trigram_input", true)?;
    if is_trigram {
        x = network.trigrams(&x);
    }
    if is_trigram || narrow != width {
        let narrow = if is_trigram { 3 * narrow } else { narrow };
        let transformation = "embeddings.embedding_transformation";
        x = network.linear(transformation, [narrow, width], &x)?;
    }
    let positions = network.positions();
    let rows = [settings.size_or("max_position_embeddings", 512)?, width];
    let positions = network.embedding("embeddings.position_embeddings", rows, &positions)?;
    let rows = settings.size_or("type_vocab_size", 2)?;
    let segments = network.segments([rows, width])?;
    let sum = network.add(&x, &positions);
    let sum = network.add(&sum, &segments);
    norm(network, "embeddings.LayerNorm", sizes, width, EPSILON, &sum)
}

fn norm(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    width: usize,
    epsilon: f32,
    x: &str,
) -> Emitted {
    match sizes.norms {
        Norms::Layer => network.layer_norm(path, width, epsilon, x),
        Norms::None => {
            let scale = network.tensor(&format!("{path}.weight"), &[width])?;
            let bias = network.tensor(&format!("{path}.bias"), &[width])?;
            network.emitter.enter(path);
            let scaled = network.emitter.node("Mul", &[x, &scale]);
            Ok(network.add(&scaled, &bias))
        }
    }
}

/// A product and a norm.
fn narrowed(network: &mut Network<'_>, path: &str, sizes: &Sizes, x: &str) -> Emitted {
    let x = network.linear(&format!("{path}.dense"), [sizes.width, sizes.narrow], x)?;
    norm(
        network,
        &format!("{path}.LayerNorm"),
        sizes,
        sizes.narrow,
        sizes.epsilon,
        &x,
    )
}

/// A product, what it is added to, and a norm.
fn added(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    [inputs, outputs]: [usize; 2],
    epsilon: f32,
    [x, residual]: [&str; 2],
) -> Emitted {
    let x = network.linear(&format!("{path}.dense"), [inputs, outputs], x)?;
    let sum = network.add(&x, residual);
    norm(
        network,
        &format!("{path}.LayerNorm"),
        sizes,
        outputs,
        epsilon,
        &sum,
    )
}

fn layer(network: &mut Network<'_>, path: &str, sizes: &Sizes, x: &str) -> Emitted {
    let [width, narrow, inner] = [sizes.width, sizes.narrow, sizes.inner];
    let bottleneck = format!("{path}.bottleneck");
    let input = match sizes.inputs {
        Inputs::Whole => x.to_owned(),
        _ => narrowed(network, &format!("{bottleneck}.input"), sizes, x)?,
    };
    let of_query_and_key = match sizes.inputs {
        Inputs::Whole | Inputs::WideAll => x.to_owned(),
        Inputs::Narrow => input.clone(),
        Inputs::NarrowQueryAndKey => {
            narrowed(network, &format!("{bottleneck}.attention"), sizes, x)?
        }
    };
    let of_value = match sizes.inputs {
        Inputs::Narrow => &input,
        _ => x,
    };
    let attended = attend(network, path, sizes, [&of_query_and_key, of_value])?;
    let output = format!("{path}.attention.output");
    let mut y = added(
        network,
        &output,
        sizes,
        [narrow; 2],
        sizes.epsilon,
        [&attended, &input],
    )?;
    for index in 1..sizes.parts {
        let path = format!("{path}.ffn.{}", index - 1);
        let fed = network.linear(&format!("{path}.intermediate.dense"), [narrow, inner], &y)?;
        let fed = network.activation("hidden_act", "relu", &fed)?;
        y = added(
            network,
            &format!("{path}.output"),
            sizes,
            [inner, narrow],
            sizes.epsilon,
            [&fed, &y],
        )?;
    }
    let fed = network.linear(&format!("{path}.intermediate.dense"), [narrow, inner], &y)?;
    let fed = network.activation("hidden_act", "relu", &fed)?;
    let y = added(
        network,
        &format!("{path}.output"),
        sizes,
        [inner, narrow],
        EPSILON,
        [&fed, &y],
    )?;
    match sizes.inputs {
        Inputs::Whole => Ok(y),
        _ => {
            let output = format!("{path}.output.bottleneck");
            added(
                network,
                &output,
                sizes,
                [narrow, width],
                sizes.epsilon,
                [&y, x],
            )
        }
    }
}

fn attend(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    [of_query_and_key, of_value]: [&str; 2],
) -> Emitted {
    let [width, narrow] = [sizes.width, sizes.narrow];
    let (of_two, of_one) = match sizes.inputs {
        Inputs::Whole | Inputs::WideAll => (width, width),
        Inputs::Narrow => (narrow, narrow),
        Inputs::NarrowQueryAndKey => (narrow, width),
    };
    let path = format!("{path}.attention.self");
    let query = network.linear(&format!("{path}.query"), [of_two, narrow], of_query_and_key)?;
    let key = network.linear(&format!("{path}.key"), [of_two, narrow], of_query_and_key)?;
    let value = network.linear(&format!("{path}.value"), [of_one, narrow], of_value)?;
    let size = network.head_size(narrow, sizes.heads)?;
    let [query, key, value] = [query, key, value].map(|it| network.split(&it, sizes.heads));
    let mask = network.mask();
    Ok(network.attend([&query, &key, &value], size, &mask))
}

/// Logits by the table of the words, and a matrix for the rest of the width.
fn predict(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let settings = network.settings;
    let sizes = Sizes::read(network)?;
    let width = sizes.width;
    let narrow = settings.size_or("embedding_size", 128)?;
    let vocabulary = settings.size("vocab_size")?;
    let transform = "cls.predictions.transform";
    let x = network.linear(&format!("{transform}.dense"), [width; 2], hidden)?;
    let x = network.activation("hidden_act", "relu", &x)?;
    let norm = format!("{transform}.LayerNorm");
    let x = network.layer_norm(&norm, width, sizes.epsilon, &x)?;
    let [split, end] = [narrow, width].map(|it| i64::try_from(it).unwrap_or(0));
    let first = network.emitter.slice(&x, 2, 0, split);
    let logits = network.decode(&DECODER, [narrow, vocabulary], &first)?;
    if narrow == width {
        network.passed_over("cls.predictions.dense.weight");
        return Ok(logits);
    }
    let rest = network.emitter.slice(&x, 2, split, end);
    let matrix = network.tensor(
        "cls.predictions.dense.weight",
        &[width - narrow, vocabulary],
    )?;
    let product = network.emitter.node("MatMul", &[&rest, &matrix]);
    Ok(network.add(&logits, &product))
}

impl Network<'_> {
    /// Each token's row between those of the token after it and the one before it: `[batch,
    /// tokens, 3 · width]`.
    fn trigrams(&mut self, x: &str) -> String {
        let emitter = &mut self.emitter;
        let after = emitter.slice(x, 1, 1, i64::MAX);
        let pads = emitter.integers(&[0, 0, 0, 0, 1, 0]);
        let after = emitter.node("Pad", &[&after, &pads]);
        let before = emitter.slice(x, 1, 0, -1);
        let pads = emitter.integers(&[0, 1, 0, 0, 0, 0]);
        let before = emitter.node("Pad", &[&before, &pads]);
        emitter.node_with("Concat", &[&after, x, &before], vec![int("axis", 2)])
    }
}
