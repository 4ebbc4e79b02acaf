//! How many tokens a sequence may have, and who says so.

use super::Overrides;
use super::config::Config;
use super::sentence::Sentence;
use crate::error::BuildError;
use encoderfile_runtime::limits::TOKENS_MAX;
use serde_json::Value;

/// A limit with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Special tokens included.
    pub max_tokens: u32,
    /// A file and key, or an option.
    pub source: String,
}

/// `model_max_length` at or above this is Hugging Face's way of saying "unset".
const UNSET: f64 = 1e9;

/// Model types whose positions begin after the padding id.
const POSITIONS_AFTER_PADDING: [&str; 9] = [
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
];

/// The first that is set of: the caller's, sentence-transformers', the
/// tokenizer's; in any case within what the model has positions for.
pub(super) fn read(
    config: &Config,
    tokenizer_config: &Value,
    sentence: &Sentence,
    overrides: &Overrides,
) -> Result<Limit, BuildError> {
    let stated = stated(tokenizer_config, sentence, overrides);
    let bound = position_bound(config);
    let limit = match (stated, bound) {
        (Some(stated), Some(bound)) if stated.max_tokens > bound.max_tokens => bound,
        (Some(stated), _) => stated,
        (None, Some(bound)) => bound,
        (None, None) => return Err(BuildError::NoLimit(config.path.clone())),
    };
    if limit.max_tokens > TOKENS_MAX {
        return Err(BuildError::Limit {
            max_tokens: limit.max_tokens,
            stated_by: limit.source,
        });
    }
    Ok(limit)
}

fn stated(tokenizer_config: &Value, sentence: &Sentence, overrides: &Overrides) -> Option<Limit> {
    let limit = |max_tokens, source: &str| Limit {
        max_tokens,
        source: source.into(),
    };
    if let Some(max_length) = overrides.max_length {
        return Some(limit(max_length, "max_length of this build"));
    }
    if let Some(max_tokens) = sentence.max_seq_length {
        return Some(limit(
            max_tokens,
            "sentence_bert_config.json max_seq_length",
        ));
    }
    let length = tokenizer_config["model_max_length"].as_f64()?;
    // A whole number below 1e9 fits.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked"
    )]
    let length = (1.0..UNSET).contains(&length).then_some(length as u32)?;
    Some(limit(length, "tokenizer_config.json model_max_length"))
}

/// The id of the first token's position.
pub(super) fn first_position(config: &Config) -> u32 {
    let after_padding = POSITIONS_AFTER_PADDING.contains(&config.model_type());
    let padding = config.unsigned("pad_token_id").unwrap_or(1);
    if after_padding { padding + 1 } else { 0 }
}

fn position_bound(config: &Config) -> Option<Limit> {
    let positions = config.unsigned("max_position_embeddings")?;
    let offset = first_position(config);
    let usable = positions.checked_sub(offset).filter(|usable| *usable > 0)?;
    let less = if offset > 0 {
        format!(" less {offset}")
    } else {
        String::new()
    };
    Some(Limit {
        max_tokens: usable,
        source: format!("config.json max_position_embeddings{less}"),
    })
}
