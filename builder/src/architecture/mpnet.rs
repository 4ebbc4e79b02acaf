//! `MPNet`: BERT with biases by relative position, and without segments.

use super::bert::{Sizes, classify_tokens, feed_forward};
use super::layers::Attention;
use super::network::{Emitted, Network};
use super::roberta::{classify_first, predict};
use super::{Architecture, Code};

pub(super) const MPNET: Architecture = Architecture {
    model_type: "mpnet",
    code: Code::None,
    bases: &["mpnet"],
    encode,
    classify: classify_first,
    classify_tokens,
    predict,
    unused: &["embeddings.position_ids", "lm_head.decoder.", "pooler."],
};

/// The padding of positions, whatever the tokenizer's is.
const PADDING: i64 = 1;

/// Ranges of distances, whatever `relative_attention_num_buckets` says, which is the number of the
/// table's rows alone.
const BUCKETS: usize = 32;

/// Beyond this distance, all are alike.
const MAX_DISTANCE: usize = 128;

fn encode(network: &mut Network<'_>) -> Emitted {
    let settings = network.settings;
    let sizes = Sizes::read(settings)?;
    let Sizes { width, epsilon, .. } = sizes;
    let ids = network.input("input_ids");
    let words = network.embedding(
        "embeddings.word_embeddings",
        [sizes.vocabulary, width],
        &ids,
    )?;
    let positions = network.positions_after(PADDING);
    let rows = [sizes.positions, width];
    let positions = network.embedding("embeddings.position_embeddings", rows, &positions)?;
    let sum = network.add(&words, &positions);
    let mut x = network.layer_norm("embeddings.LayerNorm", width, epsilon, &sum)?;
    let key = "relative_attention_num_buckets";
    let rows = settings.size_or(key, BUCKETS)?;
    if rows < BUCKETS {
        return Err(settings.refuse(key));
    }
    let table = network.tensor(
        "encoder.relative_attention_bias.weight",
        &[rows, sizes.heads],
    )?;
    let bias = network.relative_bias(&table, BUCKETS, MAX_DISTANCE);
    for index in 0..sizes.layers {
        let path = format!("encoder.layer.{index}");
        let attention = Attention {
            products: ["q", "k", "v"].map(|it| format!("{path}.attention.attn.{it}")),
            width,
            heads: sizes.heads,
            bias: Some(&bias),
        };
        let attended = network.attention(&attention, &x)?;
        let output = format!("{path}.attention.attn.o");
        let attended = network.linear(&output, [width; 2], &attended)?;
        let sum = network.add(&attended, &x);
        x = network.layer_norm(&format!("{path}.attention.LayerNorm"), width, epsilon, &sum)?;
        let fed = feed_forward(network, &path, &sizes, &x)?;
        let sum = network.add(&fed, &x);
        x = network.layer_norm(&format!("{path}.output.LayerNorm"), width, epsilon, &sum)?;
    }
    Ok(x)
}
