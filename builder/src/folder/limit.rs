//! How many tokens a sequence may have, and who says so.
//!
//! What the files state is a wish; what the graph's tables hold is the bound.
//! Only where nobody states anything does `max_position_embeddings` count, since
//! models without a table of positions (rotary, `ALiBi`, relative) have it too.

use super::Overrides;
use super::config::Config;
use super::sentence::Sentence;
use crate::error::BuildError;
use encoderfile::limits::TOKENS_MAX;
use serde_json::Value;
use std::path::PathBuf;

/// A limit with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Special tokens included.
    pub max_tokens: u32,
    /// A file and key, an option, or a table of the graph.
    pub source: String,
}

/// What the tables of a graph hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// No table sets a position limit, as far as can be told.
    Unbounded,
    /// One may, and nobody can say at which length.
    Unknown,
    /// The position limit of one of them.
    Bounded(Limit),
}

/// What a folder says of its limit, before its graph is known.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The first that is set of: the caller's, sentence-transformers', the
    /// tokenizer's.
    stated: Option<Limit>,
    /// config.json's `max_position_embeddings`.
    positions: Option<Limit>,
    /// The id of the first token's position, where the model type is known to
    /// count after its padding.
    pub first_position: u32,
    config: PathBuf,
}

/// `model_max_length` at or above this is Hugging Face's way of saying "unset".
const UNSET: f64 = 1e9;

/// Model types whose positions begin after the padding id. Asked only of graphs
/// that take `position_ids`, or whose tables cannot be made out.
const POSITIONS_AFTER_PADDING: [&str; 15] = [
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "layoutlmv3",
    "lilt",
    "longformer",
    "luke",
    "markuplm",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
];

impl Limits {
    pub(super) fn read(
        config: &Config,
        tokenizer_config: &Value,
        sentence: &Sentence,
        overrides: &Overrides,
    ) -> Self {
        let positions = config.unsigned("max_position_embeddings");
        let positions = positions.filter(|it| *it > 0).map(|max_tokens| Limit {
            max_tokens,
            source: "config.json max_position_embeddings".into(),
        });
        Self {
            stated: stated(tokenizer_config, sentence, overrides),
            positions,
            first_position: first_position(config),
            config: config.path.clone(),
        }
    }

    /// No sequence will be longer, whatever the graph's tables hold.
    pub fn at_most(&self) -> u32 {
        let limit = self.wanted();
        limit.map_or(TOKENS_MAX, |limit| limit.max_tokens.min(TOKENS_MAX))
    }

    /// The limit within what the tables hold.
    ///
    /// # Errors
    /// [`BuildError::NoLimit`] where neither the folder nor a table says one, and
    /// [`BuildError::Limit`] for more tokens than any encoderfile may have.
    pub fn within(&self, tables: &Tables) -> Result<Limit, BuildError> {
        let bound = match tables {
            Tables::Unbounded => None,
            Tables::Unknown => self.positions_after_padding(),
            Tables::Bounded(limit) => Some(limit.clone()),
        };
        let limit = match (self.wanted().cloned(), bound) {
            (Some(wanted), Some(bound)) if wanted.max_tokens > bound.max_tokens => bound,
            (Some(wanted), _) => wanted,
            (None, Some(bound)) => bound,
            (None, None) => return Err(BuildError::NoLimit(self.config.clone())),
        };
        if limit.max_tokens > TOKENS_MAX {
            return Err(BuildError::Limit {
                max_tokens: limit.max_tokens,
                stated_by: limit.source,
            });
        }
        Ok(limit)
    }

    /// What is stated; `max_position_embeddings` where nothing is, or where a
    /// file's number is so large that it says no more than "any".
    fn wanted(&self) -> Option<&Limit> {
        match (&self.stated, &self.positions) {
            (Some(stated), Some(positions)) if stated.max_tokens > TOKENS_MAX => Some(positions),
            (Some(stated), _) => Some(stated),
            (None, positions) => positions.as_ref(),
        }
    }

    /// config.json's number, where it is smaller than the limit and no position limit of
    /// the graph.
    pub fn passed_over(&self, limit: &Limit) -> Option<u32> {
        let positions = self.positions.as_ref()?.max_tokens;
        (positions < limit.max_tokens).then_some(positions)
    }

    fn positions_after_padding(&self) -> Option<Limit> {
        let Limit { max_tokens, source } = self.positions.as_ref()?;
        let usable = max_tokens.checked_sub(self.first_position);
        let usable = usable.filter(|usable| *usable > 0)?;
        let less = match self.first_position {
            0 => String::new(),
            padding => format!(" less {padding}"),
        };
        Some(Limit {
            max_tokens: usable,
            source: format!("{source}{less}"),
        })
    }
}

fn stated(tokenizer_config: &Value, sentence: &Sentence, overrides: &Overrides) -> Option<Limit> {
    let limit = |max_tokens, source: &str| Limit {
        max_tokens,
        source: source.into(),
    };
    if let Some(max_length) = overrides.max_length {
        return Some(limit(max_length, "max_length of this build"));
    }
    if let Some(limit) = &sentence.limit {
        return Some(limit.clone());
    }
    // The older name counts where the newer is not there at all; a `null` is.
    let mut names = ["model_max_length", "max_len"].into_iter();
    let (name, length) = names.find_map(|it| Some((it, tokenizer_config.get(it)?)))?;
    let length = length.as_f64()?;
    // A whole number below 1e9 fits.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked"
    )]
    let length = (1.0..UNSET).contains(&length).then_some(length as u32)?;
    Some(limit(length, &format!("tokenizer_config.json {name}")))
}

fn first_position(config: &Config) -> u32 {
    let after_padding = POSITIONS_AFTER_PADDING.contains(&config.model_type());
    let padding = config.unsigned("pad_token_id").unwrap_or(1);
    if after_padding { padding + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn limits(config: &str, tokenizer_config: &str, max_length: Option<u32>) -> Limits {
        let config = Config::parse(Path::new("config.json"), config.as_bytes()).unwrap();
        let tokenizer_config = serde_json::from_str(tokenizer_config).unwrap();
        let overrides = Overrides {
            max_length,
            ..Overrides::default()
        };
        Limits::read(&config, &tokenizer_config, &Sentence::default(), &overrides)
    }

    fn table(max_tokens: u32) -> Tables {
        Tables::Bounded(Limit {
            max_tokens,
            source: "a table".into(),
        })
    }

    fn tokens(limits: &Limits, tables: &Tables) -> u32 {
        limits.within(tables).unwrap().max_tokens
    }

    #[test]
    fn without_a_table_max_position_embeddings_cuts_nothing() {
        let config = r#"{"max_position_embeddings": 32}"#;
        let stated = limits(config, r#"{"model_max_length": 128}"#, None);
        assert_eq!(tokens(&stated, &Tables::Unbounded), 128);
        assert_eq!(
            tokens(&limits(config, "{}", Some(99)), &Tables::Unbounded),
            99
        );
        assert_eq!(tokens(&limits(config, "{}", None), &Tables::Unbounded), 32);
        assert_eq!(tokens(&stated, &table(64)), 64);
        assert_eq!(tokens(&stated, &table(512)), 128);
    }

    #[test]
    fn the_older_name_of_a_limit_counts_where_the_newer_is_not_there() {
        let of = |tokenizer_config: &str| {
            let limits = limits("{}", tokenizer_config, None);
            tokens(&limits, &table(512))
        };
        assert_eq!(of(r#"{"max_len": 16}"#), 16);
        assert_eq!(of(r#"{"max_len": 16, "model_max_length": 32}"#), 32);
        assert_eq!(of(r#"{"max_len": 16, "model_max_length": null}"#), 512);
    }

    #[test]
    fn what_cannot_be_made_out_is_bounded_as_the_config_says() {
        let config = r#"{"max_position_embeddings": 82, "model_type": "roberta"}"#;
        let unset = limits(config, r#"{"model_max_length": 1e30}"#, None);
        assert_eq!(tokens(&unset, &Tables::Unknown), 80);
        assert_eq!(tokens(&limits("{}", "{}", Some(7)), &Tables::Unknown), 7);
    }

    #[test]
    fn a_number_beyond_every_limit_gives_way() {
        let config = r#"{"max_position_embeddings": 8192}"#;
        let huge = limits(config, r#"{"model_max_length": 1000000}"#, None);
        assert_eq!(tokens(&huge, &Tables::Unbounded), 8192);
        let nothing = limits("{}", r#"{"model_max_length": 1000000}"#, None);
        assert_eq!(tokens(&nothing, &table(77)), 77);
        assert!(nothing.within(&Tables::Unbounded).is_err());
        assert!(limits("{}", "{}", None).within(&Tables::Unbounded).is_err());
    }
}
