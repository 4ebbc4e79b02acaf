//! BERT, and what differs from it in an embedding, a norm or a head.

use super::decoder::Decoder;
use super::layers::Attention;
use super::network::{Emitted, Network};
use super::settings::Settings;
use super::{Architecture, Code};
use crate::error::BuildError;
use serde_json::json;

/// Buffers, and the pooler of a model whose head has none.
pub(super) const UNUSED: &[&str] = &[
    "cls.seq_relationship.",
    "cls.predictions.decoder.",
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "pooler.",
];

pub(super) const BERT: Architecture = Architecture {
    model_type: "bert",
    code: Code::None,
    bases: &["bert"],
    encode,
    classify: classify_pooled,
    classify_tokens,
    predict,
    unused: UNUSED,
};

pub(super) const ELECTRA: Architecture = Architecture {
    model_type: "electra",
    code: Code::None,
    bases: &["electra"],
    encode: |network| {
        let sizes = Sizes::read(network.settings)?;
        let width = network.settings.size_or("embedding_size", 128)?;
        let x = embed(network, &sizes, width)?;
        let mut x = network.layer_norm("embeddings.LayerNorm", width, sizes.epsilon, &x)?;
        if width != sizes.width {
            x = network.linear("embeddings_project", [width, sizes.width], &x)?;
        }
        layers(network, &sizes, x)
    },
    classify: |network, hidden| {
        let width = network.settings.size("hidden_size")?;
        let first = network.first_token(hidden);
        let x = network.linear("classifier.dense", [width; 2], &first)?;
        let x = network.gelu(&x);
        network.linear("classifier.out_proj", [width, network.labels], &x)
    },
    classify_tokens,
    predict: predict_generated,
    unused: &[
        "discriminator_predictions.",
        "embeddings.position_ids",
        "embeddings.token_type_ids",
    ],
};

pub(super) const ERNIE: Architecture = Architecture {
    model_type: "ernie",
    code: Code::None,
    bases: &["ernie"],
    encode: |network| {
        let sizes = Sizes::read(network.settings)?;
        let mut x = embed(network, &sizes, sizes.width)?;
        let tasks = network.settings.size_or("task_type_vocab_size", 3)?;
        network.settings.only("task_id", &json!(0))?;
        if network.settings.flag("use_task_id", false)? {
            // transformers' default is the first task.
            let path = "embeddings.task_type_embeddings";
            let task = network.first_row(path, [tasks, sizes.width])?;
            x = network.add(&x, &task);
        }
        let x = network.layer_norm("embeddings.LayerNorm", sizes.width, sizes.epsilon, &x)?;
        layers(network, &sizes, x)
    },
    classify: classify_pooled,
    classify_tokens,
    predict,
    unused: UNUSED,
};

/// `BigBird` whose tokens attend to all others.
pub(super) const BIG_BIRD: Architecture = Architecture {
    model_type: "big_bird",
    code: Code::None,
    bases: &["bert"],
    encode: |network| {
        let settings = network.settings;
        let block = settings.size_or("block_size", 64)?;
        let random = settings.count("num_random_blocks", 3)?;
        match settings.text("attention_type", "block_sparse")?.as_str() {
            "original_full" => {}
            // transformers attends to all of so many tokens, for there are no more than the
            // blocks that each attends to.
            "block_sparse" => {
                let most = random.saturating_mul(2).saturating_add(5);
                network.require_at_most("attention_type", most.saturating_mul(block))?;
            }
            _ => return Err(settings.refuse("attention_type")),
        }
        settings.only("rescale_embeddings", &json!(false))?;
        settings.only("use_bias", &json!(true))?;
        encode(network)
    },
    classify: classify_activated,
    classify_tokens,
    predict,
    unused: UNUSED,
};

/// Norms before each part instead of after it, and one at the end.
pub(super) const MEGATRON_BERT: Architecture = Architecture {
    model_type: "megatron-bert",
    code: Code::None,
    bases: &["bert"],
    encode: |network| {
        let sizes = Sizes::read(network.settings)?;
        let (width, epsilon) = (sizes.width, sizes.epsilon);
        let mut x = embed(network, &sizes, width)?;
        for index in 0..sizes.layers {
            let path = format!("encoder.layer.{index}");
            let normed = network.layer_norm(&format!("{path}.attention.ln"), width, epsilon, &x)?;
            let attended = attend(network, &path, &sizes, &normed)?;
            x = network.add(&attended, &x);
            let normed = network.layer_norm(&format!("{path}.ln"), width, epsilon, &x)?;
            let fed = feed_forward(network, &path, &sizes, &normed)?;
            x = network.add(&fed, &x);
        }
        network.layer_norm("encoder.ln", width, epsilon, &x)
    },
    classify: classify_pooled,
    classify_tokens,
    predict,
    unused: UNUSED,
};

/// Narrower embeddings, and others for the decoder.
pub(super) const REMBERT: Architecture = Architecture {
    model_type: "rembert",
    code: Code::None,
    bases: &["rembert"],
    encode: |network| {
        let sizes = Sizes::read(network.settings)?;
        let width = network.settings.size_or("input_embedding_size", 256)?;
        // The decoder's alone.
        network.settings.size_or("output_embedding_size", 1664)?;
        let x = embed(network, &sizes, width)?;
        let x = network.layer_norm("embeddings.LayerNorm", width, sizes.epsilon, &x)?;
        let mapping = "encoder.embedding_hidden_mapping_in";
        let x = network.linear(mapping, [width, sizes.width], &x)?;
        layers(network, &sizes, x)
    },
    classify: classify_pooled,
    classify_tokens,
    predict: |network, hidden| {
        let sizes = Sizes::read(network.settings)?;
        let width = network.settings.size_or("output_embedding_size", 1664)?;
        let x = network.linear("cls.predictions.dense", [sizes.width, width], hidden)?;
        let x = hidden_activation(network, &x)?;
        let x = network.layer_norm("cls.predictions.LayerNorm", width, sizes.epsilon, &x)?;
        // The table of the words is not as wide.
        let settings = network.settings;
        settings.only("tie_word_embeddings", &json!(false))?;
        network.linear("cls.predictions.decoder", [width, sizes.vocabulary], &x)
    },
    unused: &[
        "embeddings.position_ids",
        "embeddings.token_type_ids",
        "pooler.",
    ],
};

/// The table of the words.
pub(super) const WORDS: &str = "embeddings.word_embeddings.weight";

pub(super) const DECODER: Decoder<'static> = Decoder {
    own: "cls.predictions.decoder",
    words: WORDS,
    bias: Some("cls.predictions.bias"),
    tied: true,
};

/// What config.json says of a BERT.
pub(super) struct Sizes {
    pub(super) vocabulary: usize,
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) positions: usize,
    pub(super) segments: usize,
    pub(super) epsilon: f32,
}

impl Sizes {
    pub(super) fn read(settings: &Settings) -> Result<Self, BuildError> {
        Self::read_or(settings, 2, 1e-12)
    }

    /// The same with other defaults.
    pub(super) fn read_or(
        settings: &Settings,
        segments: usize,
        epsilon: f32,
    ) -> Result<Self, BuildError> {
        settings.only("position_embedding_type", &json!("absolute"))?;
        Self::of_any_positions(settings, segments, epsilon)
    }

    /// The same without a look at the kind of positions.
    pub(super) fn of_any_positions(
        settings: &Settings,
        segments: usize,
        epsilon: f32,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            vocabulary: settings.size("vocab_size")?,
            width: settings.size("hidden_size")?,
            heads: settings.size("num_attention_heads")?,
            inner: settings.size("intermediate_size")?,
            layers: settings.layers("num_hidden_layers")?,
            positions: settings.size_or("max_position_embeddings", 512)?,
            segments: settings.count("type_vocab_size", segments)?,
            epsilon: settings.float("layer_norm_eps", epsilon)?,
        })
    }

    /// Refuses an `embedding_size`, which some write though the class reads none, that is not the
    /// width of the hidden state.
    pub(super) fn refuse_narrower_words(&self, settings: &Settings) -> Result<(), BuildError> {
        settings.only("embedding_size", &json!(self.width))
    }
}

fn encode(network: &mut Network<'_>) -> Emitted {
    let sizes = Sizes::read(network.settings)?;
    sizes.refuse_narrower_words(network.settings)?;
    let x = embed(network, &sizes, sizes.width)?;
    let x = network.layer_norm("embeddings.LayerNorm", sizes.width, sizes.epsilon, &x)?;
    layers(network, &sizes, x)
}

/// The sum of words, segments and positions.
pub(super) fn embed(network: &mut Network<'_>, sizes: &Sizes, width: usize) -> Emitted {
    let ids = network.input("input_ids");
    let rows = [sizes.vocabulary, width];
    let words = network.embedding("embeddings.word_embeddings", rows, &ids)?;
    let segments = network.segments([sizes.segments, width])?;
    let positions = network.positions();
    let rows = [sizes.positions, width];
    let positions = network.embedding("embeddings.position_embeddings", rows, &positions)?;
    let sum = network.add(&words, &segments);
    Ok(network.add(&sum, &positions))
}

/// Layers with norms after each part.
pub(super) fn layers(network: &mut Network<'_>, sizes: &Sizes, mut x: String) -> Emitted {
    for index in 0..sizes.layers {
        let path = format!("encoder.layer.{index}");
        let attended = attend(network, &path, sizes, &x)?;
        let sum = network.add(&attended, &x);
        let norm = format!("{path}.attention.output.LayerNorm");
        x = network.layer_norm(&norm, sizes.width, sizes.epsilon, &sum)?;
        let fed = feed_forward(network, &path, sizes, &x)?;
        let sum = network.add(&fed, &x);
        let norm = format!("{path}.output.LayerNorm");
        x = network.layer_norm(&norm, sizes.width, sizes.epsilon, &sum)?;
    }
    Ok(x)
}

/// The function of `hidden_act`.
fn hidden_activation(network: &mut Network<'_>, x: &str) -> Emitted {
    let is_big_bird = network.settings.text("model_type", "")? == BIG_BIRD.model_type;
    let default = if is_big_bird { "gelu_new" } else { "gelu" };
    network.activation("hidden_act", default, x)
}

pub(super) fn attend(network: &mut Network<'_>, path: &str, sizes: &Sizes, x: &str) -> Emitted {
    let attention = Attention {
        products: ["query", "key", "value"].map(|it| format!("{path}.attention.self.{it}")),
        width: sizes.width,
        heads: sizes.heads,
        bias: None,
    };
    let attended = network.attention(&attention, x)?;
    let output = format!("{path}.attention.output.dense");
    network.linear(&output, [sizes.width; 2], &attended)
}

pub(super) fn feed_forward(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    x: &str,
) -> Emitted {
    let [width, inner] = [sizes.width, sizes.inner];
    let x = network.linear(&format!("{path}.intermediate.dense"), [width, inner], x)?;
    let x = hidden_activation(network, &x)?;
    network.linear(&format!("{path}.output.dense"), [inner, width], &x)
}

/// Logits of what the pooler makes of the first token.
pub(super) fn classify_pooled(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let width = network.settings.size("hidden_size")?;
    classify_pooled_of(network, width, hidden)
}

/// The same for a last hidden state of `width` values.
pub(super) fn classify_pooled_of(network: &mut Network<'_>, width: usize, hidden: &str) -> Emitted {
    let first = network.first_token(hidden);
    let pooler = network.in_base("pooler.dense");
    let pooled = network.linear(&pooler, [width; 2], &first)?;
    let pooled = network.tanh(&pooled);
    network.linear("classifier", [width, network.labels], &pooled)
}

/// Logits of the first token, by a layer with the encoder's activation.
pub(super) fn classify_activated(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let width = network.settings.size("hidden_size")?;
    let first = network.first_token(hidden);
    let x = network.linear("classifier.dense", [width; 2], &first)?;
    let x = hidden_activation(network, &x)?;
    network.linear("classifier.out_proj", [width, network.labels], &x)
}

/// Logits of each token.
pub(super) fn classify_tokens(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let width = network.settings.size("hidden_size")?;
    network.linear("classifier", [width, network.labels], hidden)
}

/// Logits of the vocabulary.
pub(super) fn predict(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let sizes = Sizes::read(network.settings)?;
    predict_from(network, &sizes, sizes.width, hidden)
}

/// The same over words of `width` values.
pub(super) fn predict_from(
    network: &mut Network<'_>,
    sizes: &Sizes,
    width: usize,
    hidden: &str,
) -> Emitted {
    let x = transform(network, TRANSFORM, sizes, width, hidden)?;
    network.decode(&DECODER, [width, sizes.vocabulary], &x)
}

/// The module before the decoder.
pub(super) const TRANSFORM: &str = "cls.predictions.transform";

/// What the decoder is given.
pub(super) fn transform(
    network: &mut Network<'_>,
    path: &str,
    sizes: &Sizes,
    width: usize,
    hidden: &str,
) -> Emitted {
    let x = network.linear(&format!("{path}.dense"), [sizes.width, width], hidden)?;
    let x = hidden_activation(network, &x)?;
    let norm = format!("{path}.LayerNorm");
    network.layer_norm(&norm, width, sizes.epsilon, &x)
}

/// Logits of the vocabulary, by ELECTRA's generator.
pub(super) fn predict_generated(network: &mut Network<'_>, hidden: &str) -> Emitted {
    let sizes = Sizes::read(network.settings)?;
    let width = network.settings.size_or("embedding_size", 128)?;
    let x = network.linear("generator_predictions.dense", [sizes.width, width], hidden)?;
    let x = network.gelu(&x);
    let x = network.layer_norm("generator_predictions.LayerNorm", width, sizes.epsilon, &x)?;
    let decoder = Decoder {
        own: "generator_lm_head",
        bias: Some("generator_lm_head.bias"),
        ..DECODER
    };
    network.decode(&decoder, [width, sizes.vocabulary], &x)
}
