//! XLM, and `FlauBERT`, which is an XLM whose norms may stand before each part of a layer.

use super::decoder::Decoder;
use super::layers::Attention;
use super::network::{Emitted, Network};
use super::settings::Settings;
use super::{Architecture, Code};
use crate::error::BuildError;
use serde_json::json;

/// Keys of training, of heads, of Python's tokenizer, and of requests that name a language. The
/// table of positions is the checkpoint's, be it learnt or made of sinusoids.
const WITHOUT_EFFECT: &[&str] = &[
    "amp",
    "asm",
    "bos_index",
    "bptt",
    "clip_grad_norm",
    "embed_init_std",
    "encoder_only",
    "end_n_top",
    "eos_index",
    "fp16",
    "group_by_size",
    "id2lang",
    "init_std",
    "lang2id",
    "lang_id",
    "langs",
    "lg_sampling_factor",
    "lgs",
    "mask_index",
    "max_batch_size",
    "max_vocab",
    "min_count",
    "mlm_steps",
    "n_langs",
    "pad_index",
    "same_enc_dec",
    "sample_alpha",
    "share_inout_emb",
    "sinusoidal_embeddings",
    "start_n_top",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "tokens_per_batch",
    "unk_index",
    "use_lang_emb",
    "word_blank",
    "word_dropout",
    "word_keep",
    "word_mask",
    "word_mask_keep_rand",
    "word_pred",
    "word_rand",
    "word_shuffle",
];

/// The table of the words, in which transformers looks up segments too.
const WORDS: &str = "embeddings";

pub(super) const XLM: Architecture = Architecture {
    model_type: "xlm",
    code: Code::None,
    bases: &["transformer"],
    encode: |network| encode(network, Norms::After),
    classify,
    classify_tokens: |network, hidden| {
        let width = network.settings.size("emb_dim")?;
        network.linear("classifier", [width, network.labels], hidden)
    },
    predict: |network, hidden| {
        let sizes = Sizes::read(network.settings)?;
        // Adaptive softmax has matrices for words that are seldom.
        network.settings.only("asm", &json!(false))?;
        let decoder = Decoder {
            own: "pred_layer.proj",
            words: "embeddings.weight",
            bias: Some("pred_layer.proj.bias"),
            tied: true,
        };
        network.decode(&decoder, [sizes.width, sizes.vocabulary], hidden)
    },
    // transformers adds a language only where a request names one.
    unused: &["lang_embeddings.", "position_ids"],
};

pub(super) const FLAUBERT: Architecture = Architecture {
    model_type: "flaubert",
    encode: |network| {
        // Of training.
        network.settings.without_effect("layerdrop");
        match network.settings.flag("pre_norm", false)? {
            true => encode(network, Norms::Before),
            false => encode(network, Norms::After),
        }
    },
    ..XLM
};

/// Where a layer's norms stand.
#[derive(Clone, Copy)]
enum Norms {
    /// After the sum of a part and its input.
    After,
    /// Before the part.
    Before,
}

/// What config.json says.
struct Sizes {
    vocabulary: usize,
    width: usize,
    heads: usize,
    layers: usize,
    positions: usize,
    epsilon: f32,
}

impl Sizes {
    fn read(settings: &Settings) -> Result<Self, BuildError> {
        Ok(Self {
            vocabulary: settings.size("vocab_size")?,
            width: settings.size("emb_dim")?,
            heads: settings.size("n_heads")?,
            layers: settings.layers("n_layers")?,
            positions: settings.size_or("max_position_embeddings", 512)?,
            epsilon: settings.float("layer_norm_eps", 1e-12)?,
        })
    }
}

fn encode(network: &mut Network<'_>, norms: Norms) -> Emitted {
    let settings = network.settings;
    let sizes = Sizes::read(settings)?;
    settings.only("causal", &json!(false))?;
    settings.only("is_encoder", &json!(true))?;
    for key in WITHOUT_EFFECT {
        settings.without_effect(key);
    }
    let mut x = embed(network, &sizes)?;
    for index in 0..sizes.layers {
        let norm = format!("layer_norm1.{index}");
        x = add_part(network, norms, &norm, &sizes, &x, |network, x| {
            attend(network, index, &sizes, x)
        })?;
        let norm = format!("layer_norm2.{index}");
        x = add_part(network, norms, &norm, &sizes, &x, |network, x| {
            feed_forward(network, index, &sizes, x)
        })?;
    }
    Ok(x)
}

/// The normed sum of words, positions and, where the tokenizer gives segments, the words with
/// the segments' numbers.
fn embed(network: &mut Network<'_>, sizes: &Sizes) -> Emitted {
    let width = sizes.width;
    let rows = [sizes.vocabulary, width];
    let ids = network.input("input_ids");
    let words = network.embedding(WORDS, rows, &ids)?;
    let positions = network.positions();
    let table = [sizes.positions, width];
    let positions = network.embedding("position_embeddings", table, &positions)?;
    let mut sum = network.add(&words, &positions);
    if network.has_segments {
        let segments = network.input("token_type_ids");
        let segments = network.embedding(WORDS, rows, &segments)?;
        sum = network.add(&sum, &segments);
    }
    network.layer_norm("layer_norm_emb", width, sizes.epsilon, &sum)
}

/// What a part of a layer makes of `x`, and `x`.
fn add_part(
    network: &mut Network<'_>,
    norms: Norms,
    norm: &str,
    sizes: &Sizes,
    x: &str,
    part: impl FnOnce(&mut Network<'_>, &str) -> Emitted,
) -> Emitted {
    match norms {
        Norms::After => {
            let output = part(network, x)?;
            let sum = network.add(&output, x);
            network.layer_norm(norm, sizes.width, sizes.epsilon, &sum)
        }
        Norms::Before => {
            let normed = network.layer_norm(norm, sizes.width, sizes.epsilon, x)?;
            let output = part(network, &normed)?;
            Ok(network.add(&output, x))
        }
    }
}

fn attend(network: &mut Network<'_>, index: usize, sizes: &Sizes, x: &str) -> Emitted {
    let path = format!("attentions.{index}");
    let attention = Attention {
        products: ["q_lin", "k_lin", "v_lin"].map(|it| format!("{path}.{it}")),
        width: sizes.width,
        heads: sizes.heads,
        bias: None,
    };
    let attended = network.attention(&attention, x)?;
    network.linear(&format!("{path}.out_lin"), [sizes.width; 2], &attended)
}

fn feed_forward(network: &mut Network<'_>, index: usize, sizes: &Sizes, x: &str) -> Emitted {
    let path = format!("ffns.{index}");
    let [width, inner] = [sizes.width, sizes.width.saturating_mul(4)];
    let x = network.linear(&format!("{path}.lin1"), [width, inner], x)?;
    let x = match network.settings.flag("gelu_activation", true)? {
        true => network.gelu(&x),
        false => network.relu(&x),
    };
    network.linear(&format!("{path}.lin2"), [inner, width], &x)
}

/// Logits of what stands for the whole text: one token, or the mean of all.
fn classify(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let settings = network.settings;
    let width = settings.size("emb_dim")?;
    // Without these, what comes out is as wide as the hidden state.
    settings.only("summary_use_proj", &json!(true))?;
    settings.only("summary_proj_to_labels", &json!(true))?;
    let text = match settings.text("summary_type", "first")?.as_str() {
        "first" => network.first_token(hidden),
        // transformers' index is the last token where a request has none.
        "last" | "cls_index" => network.last_token(hidden),
        "mean" => network.mean_over_tokens(hidden),
        _ => return Err(settings.refuse("summary_type")),
    };
    let labels = [width, network.labels];
    let logits = network.linear("sequence_summary.summary", labels, &text)?;
    let key = "summary_activation";
    match settings.text(key, "")?.as_str() {
        "" => Ok(logits),
        name => network.activated(key, name, &logits),
    }
}
